/* Frames of HTTP/2, cut and put together in one pass (wire.http2.framing). What is not a whole frame of an allowed size
   is left where it is: wire.http2.frames says what it means. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

typedef unsigned char byte;

enum { HEADER = 9, DATA = 0, HEADERS = 1, END_STREAM = 1, END_HEADERS = 4 };

static PyObject *number(unsigned long value)
{
    return PyLong_FromUnsignedLong(value);
}

/* (data, most bytes of a payload): ([(kind, flags, stream, payload), ...], where that ends) */
static PyObject *split(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t most, at = 0, size;
    if (nargs != 2 || !PyBytes_CheckExact(args[0]))
        return PyErr_Format(PyExc_TypeError, "bytes and a number");
    most = PyLong_AsSsize_t(args[1]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    const byte *data = (const byte *)PyBytes_AS_STRING(args[0]);
    size = PyBytes_GET_SIZE(args[0]);
    PyObject *frames = PyList_New(0);
    while (frames != NULL && size - at >= HEADER) {
        const byte *head = data + at;
        Py_ssize_t length = (Py_ssize_t)head[0] << 16 | head[1] << 8 | head[2];
        if (length > most || size - at - HEADER < length)
            break;
        unsigned long stream = (unsigned long)(head[5] & 127) << 24 | head[6] << 16 | head[7] << 8 | head[8];
        PyObject *parts[4] = {number(head[3]), number(head[4]), number(stream),
                              PyBytes_FromStringAndSize((const char *)head + HEADER, length)};
        PyObject *frame = PyTuple_New(4);
        for (int n = 0; n < 4; n++)
            if (frame == NULL || parts[n] == NULL) {
                Py_CLEAR(frame);
                Py_XDECREF(parts[n]);
            } else
                PyTuple_SET_ITEM(frame, n, parts[n]);
        if (frame == NULL || PyList_Append(frames, frame) < 0)
            Py_CLEAR(frames);
        Py_XDECREF(frame);
        at += HEADER + length;
    }
    return frames == NULL ? NULL : Py_BuildValue("Nn", frames, at);
}

static byte *framed(byte *out, int kind, int flags, unsigned long stream, PyObject *payload)
{
    Py_ssize_t size = PyBytes_GET_SIZE(payload);
    byte head[HEADER] = {(byte)(size >> 16), (byte)(size >> 8), (byte)size, (byte)kind, (byte)flags,
                         (byte)(stream >> 24), (byte)(stream >> 16), (byte)(stream >> 8), (byte)stream};
    memcpy(out, head, HEADER);
    memcpy(out + HEADER, PyBytes_AS_STRING(payload), (size_t)size);
    return out + HEADER + size;
}

/* (stream, header block, body): HEADERS and DATA of a whole answer */
static PyObject *answer(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3 || !PyBytes_CheckExact(args[1]) || !PyBytes_CheckExact(args[2]))
        return PyErr_Format(PyExc_TypeError, "a number and two bytes");
    unsigned long stream = PyLong_AsUnsignedLong(args[0]);
    if (stream == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (PyBytes_GET_SIZE(args[1]) >> 24 || PyBytes_GET_SIZE(args[2]) >> 24 || stream >> 31)
        return PyErr_Format(PyExc_ValueError, "larger than a frame can be");
    PyObject *made =
        PyBytes_FromStringAndSize(NULL, 2 * HEADER + PyBytes_GET_SIZE(args[1]) + PyBytes_GET_SIZE(args[2]));
    if (made != NULL) {
        byte *out = framed((byte *)PyBytes_AS_STRING(made), HEADERS, END_HEADERS, stream, args[1]);
        framed(out, DATA, END_STREAM, stream, args[2]);
    }
    return made;
}

static PyMethodDef methods[] = {
    {"split", (PyCFunction)(void (*)(void))split, METH_FASTCALL, NULL}, /* see wire.http2.framing */
    {"answer", (PyCFunction)(void (*)(void))answer, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_framing", "Frames in one pass.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__framing(void)
{
    return PyModule_Create(&module);
}
