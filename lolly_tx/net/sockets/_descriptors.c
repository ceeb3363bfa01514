/* recv and send on a descriptor that does not block, without a socket object, a buffer of the largest size for each
   call and a release of the GIL. `net.sockets.descriptors` has the same in Python. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>

static char room[131072]; /* one for all: what is read is copied out before anybody else reads */

static PyObject *receive(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long fd = count == 2 ? PyLong_AsLong(args[0]) : -1, most = count == 2 ? PyLong_AsLong(args[1]) : 0;
    ssize_t got;
    if (PyErr_Occurred())
        return NULL;
    if (most < 1 || most > (long)sizeof room)
        return PyErr_Format(PyExc_ValueError, "not from 1 to %zd bytes", sizeof room);
    do
        got = recv((int)fd, room, (size_t)most, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyBytes_FromStringAndSize(room, got);
}

static PyObject *transmit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long fd = count == 2 ? PyLong_AsLong(args[0]) : -1;
    ssize_t sent;
    if (PyErr_Occurred())
        return NULL;
    if (count != 2 || !PyBytes_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "a descriptor and bytes");
    do
        sent = send((int)fd, PyBytes_AS_STRING(args[1]), (size_t)PyBytes_GET_SIZE(args[1]), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromSsize_t(sent);
}

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL, "At most so many bytes; OSError."},
    {"transmit", (PyCFunction)(void (*)(void))transmit, METH_FASTCALL, "How many bytes went; OSError."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_descriptors", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__descriptors(void)
{
    return PyModule_Create(&module);
}
