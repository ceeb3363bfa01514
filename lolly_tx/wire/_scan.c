/* The scan of a head in one pass: what the regular expressions of wire.http1 and wire.fields find, for heads that
   they take without a word. Whatever is not known here, not whole or not in order is None, and goes to them.

   It knows no grammar: `configure` is given a table of what each byte may be, and the names of special fields, both
   made of wire.grammar (wire.scanner). Nothing is allocated before a head has been read to its end. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

typedef unsigned char byte;

enum { TOKEN = 1, NAME = 2, VALUE = 4, PATH = 8, QUERY = 16, HEX = 32 };
enum { MOST_NAMES = 32, MOST_FOUND = 64 };

typedef struct {
    PyObject *name; /* bytes in lower case */
    int prefix;     /* something has to follow */
} Special;

typedef struct {
    int count;
    byte first[256]; /* a special name begins with it */
    Special names[MOST_NAMES];
} Specials;

typedef struct {
    Py_ssize_t name, colon, value, end;
    const Special *special;
} Found;

static byte klass[256], low[256];
static Specials of_requests, of_responses;
static int ready = 0;

/* Where the bytes of `classes` end that begin at `at`. */
static Py_ssize_t span(const byte *data, Py_ssize_t at, Py_ssize_t size, int classes)
{
    while (at < size && klass[data[at]] & classes)
        at++;
    return at;
}

static const Special *special_of(const Specials *specials, const byte *name, Py_ssize_t size)
{
    for (int n = 0; specials->first[name[0]] && n < specials->count; n++) {
        const Special *special = &specials->names[n];
        Py_ssize_t i = 0, length = PyBytes_GET_SIZE(special->name);
        if (special->prefix ? size <= length : size != length)
            continue;
        while (i < length && low[name[i]] == (byte)PyBytes_AS_STRING(special->name)[i])
            i++;
        if (i == length)
            return special;
    }
    return NULL;
}

/* The fields from `at` on, each with its CRLF, and the empty line; where the head ends, or -1. */
static Py_ssize_t fields(const byte *data, Py_ssize_t at, Py_ssize_t size, int name_bytes, Py_ssize_t most,
                         const Specials *specials, Found *found, int *count)
{
    *count = 0;
    for (Py_ssize_t lines = 0;; lines++) {
        Py_ssize_t name = at, colon, value;
        if (at + 2 > size)
            return -1;
        if (data[at] == '\r')
            return data[at + 1] == '\n' ? at + 2 : -1;
        if (lines == most)
            return -1;
        colon = span(data, at, size, name_bytes);
        if (colon == name || colon == size || data[colon] != ':')
            return -1;
        for (value = colon + 1; value < size && (data[value] == ' ' || data[value] == '\t');)
            value++;
        at = span(data, value, size, VALUE);
        if (at + 2 > size || data[at] != '\r' || data[at + 1] != '\n')
            return -1;
        const Special *special = special_of(specials, data + name, colon - name);
        if (special != NULL) {
            if (*count == MOST_FOUND)
                return -1;
            found[(*count)++] = (Found){name, colon, value, at, special};
        }
        at += 2;
    }
}

static PyObject *lowered(const byte *data, Py_ssize_t from, Py_ssize_t to)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, to - from);
    if (made != NULL) {
        byte *out = (byte *)PyBytes_AS_STRING(made);
        for (Py_ssize_t i = from; i < to; i++)
            *out++ = low[data[i]];
    }
    return made;
}

/* [(name, value), ...] in lower case. */
static PyObject *pairs(const byte *data, const Found *found, int count)
{
    PyObject *list = PyList_New(count);
    for (int n = 0; list != NULL && n < count; n++) {
        const Special *special = found[n].special;
        PyObject *name = special->prefix ? lowered(data, found[n].name, found[n].colon) : Py_NewRef(special->name);
        PyObject *value = lowered(data, found[n].value, found[n].end);
        PyObject *pair = name != NULL && value != NULL ? PyTuple_New(2) : NULL;
        if (pair == NULL) {
            Py_XDECREF(name);
            Py_XDECREF(value);
            Py_CLEAR(list);
        } else {
            PyTuple_SET_ITEM(pair, 0, name);
            PyTuple_SET_ITEM(pair, 1, value);
            PyList_SET_ITEM(list, n, pair);
        }
    }
    return list;
}

static PyObject *text(const byte *data, Py_ssize_t from, Py_ssize_t to)
{
    return PyBytes_FromStringAndSize((const char *)data + from, to - from);
}

/* What is found, as a tuple that owns all of it. */
static PyObject *result(PyObject *one, PyObject *two, int minor, Py_ssize_t at, Py_ssize_t end, PyObject *special)
{
    PyObject *made = PyTuple_New(6);
    PyObject *parts[] = {one, two, PyLong_FromLong(minor), PyLong_FromSsize_t(at), PyLong_FromSsize_t(end), special};
    for (int n = 0; n < 6; n++)
        if (made == NULL || parts[n] == NULL) {
            Py_CLEAR(made);
            Py_XDECREF(parts[n]);
        } else
            PyTuple_SET_ITEM(made, n, parts[n]);
    return made;
}

/* (data, most bytes of the head, most bytes of its first line, most fields) */
static int arguments(PyObject *const *args, Py_ssize_t count, Py_ssize_t limits[3])
{
    if (!ready || count != 4 || !PyBytes_CheckExact(args[0]))
        return PyErr_SetString(PyExc_TypeError, "bytes and three limits, after configure"), -1;
    for (int n = 0; n < 3; n++) {
        limits[n] = PyLong_AsSsize_t(args[n + 1]);
        if (limits[n] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static int begins(const byte *data, Py_ssize_t at, Py_ssize_t size, const char *text)
{
    Py_ssize_t length = (Py_ssize_t)strlen(text);
    return size - at >= length && memcmp(data + at, text, (size_t)length) == 0;
}

/* Where the target that begins at `at` ends, or -1. */
static Py_ssize_t target_end(const byte *data, Py_ssize_t at, Py_ssize_t size)
{
    if (at < size && data[at] == '*')
        return at + 1;
    if (at == size || data[at] != '/')
        return -1;
    for (at++; at < size; at++) {
        if (klass[data[at]] & PATH)
            continue;
        if (data[at] != '%')
            break;
        if (size - at < 3 || !(klass[data[at + 1]] & HEX) || !(klass[data[at + 2]] & HEX) ||
            (data[at + 1] == '0' && data[at + 2] == '0'))
            return -1;
        at += 2;
    }
    return at < size && data[at] == '?' ? span(data, at + 1, size, QUERY) : at;
}

static PyObject *scan_request(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t limits[3], method, target, at, end;
    Found found[MOST_FOUND];
    int count, minor;
    if (arguments(args, nargs, limits) < 0)
        return NULL;
    const byte *data = (const byte *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    method = span(data, 0, size, TOKEN);
    if (!method || method == size || data[method] != ' ' || begins(data, 0, size, "CONNECT "))
        Py_RETURN_NONE;
    target = target_end(data, method + 1, size);
    if (target < 0 || !begins(data, target, size, " HTTP/1.") || size - target < 11)
        Py_RETURN_NONE;
    at = target + 9;
    minor = data[target + 8] - '0';
    if ((minor != 0 && minor != 1) || !begins(data, at, size, "\r\n") || at > limits[1])
        Py_RETURN_NONE;
    end = fields(data, at + 2, size, NAME, limits[2], &of_requests, found, &count);
    if (end < 0 || end > limits[0])
        Py_RETURN_NONE;
    return result(text(data, 0, method), text(data, method + 1, target), minor, at, end, pairs(data, found, count));
}

static PyObject *scan_response(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t limits[3], at = 12, reason = 12, end;
    Found found[MOST_FOUND];
    int count, minor, status = 0;
    if (arguments(args, nargs, limits) < 0)
        return NULL;
    const byte *data = (const byte *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    if (size < 16 || !begins(data, 0, size, "HTTP/1.") || data[8] != ' ' || data[9] < '1' || data[9] > '5')
        Py_RETURN_NONE;
    minor = data[7] - '0';
    for (int n = 9; n < 12; n++) {
        if (data[n] < '0' || data[n] > '9')
            Py_RETURN_NONE;
        status = 10 * status + data[n] - '0';
    }
    if (data[at] == ' ')
        at = span(data, ++reason, size, VALUE);
    if ((minor != 0 && minor != 1) || !begins(data, at, size, "\r\n") || at > limits[1])
        Py_RETURN_NONE;
    end = fields(data, at + 2, size, TOKEN, limits[2], &of_responses, found, &count);
    if (end < 0 || end > limits[0])
        Py_RETURN_NONE;
    return result(PyLong_FromLong(status), text(data, reason, at), minor, at, end, pairs(data, found, count));
}

/* `names`: bytes in lower case, kept for good; those that end in "-" are beginnings of names. */
static int take(Specials *specials, PyObject *names)
{
    memset(specials, 0, sizeof(*specials));
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(names); n++) {
        PyObject *name = PyTuple_GET_ITEM(names, n);
        Py_ssize_t size = PyBytes_Check(name) ? PyBytes_GET_SIZE(name) : 0;
        if (n == MOST_NAMES || size < 1)
            return PyErr_SetString(PyExc_ValueError, "too many names, or one that is empty"), -1;
        const byte *text = (const byte *)PyBytes_AS_STRING(name);
        specials->names[n] = (Special){Py_NewRef(name), text[size - 1] == '-'};
        for (int c = 0; c < 256; c++)
            specials->first[c] |= low[c] == text[0];
        specials->count++;
    }
    return 0;
}

static PyObject *configure(PyObject *self, PyObject *args)
{
    PyObject *classes, *requests, *responses;
    if (!PyArg_ParseTuple(args, "SO!O!", &classes, &PyTuple_Type, &requests, &PyTuple_Type, &responses))
        return NULL;
    if (PyBytes_GET_SIZE(classes) != 256)
        return PyErr_Format(PyExc_ValueError, "not a table of 256 bytes");
    memcpy(klass, PyBytes_AS_STRING(classes), 256);
    for (int c = 0; c < 256; c++)
        low[c] = (byte)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (take(&of_requests, requests) < 0 || take(&of_responses, responses) < 0)
        return NULL;
    ready = 1;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"configure", configure, METH_VARARGS, "What bytes may be, and the special names of requests and of responses."},
    {"scan_request", (PyCFunction)(void (*)(void))scan_request, METH_FASTCALL, NULL}, /* see wire.scanner */
    {"scan_response", (PyCFunction)(void (*)(void))scan_response, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scan", "Heads in one pass.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__scan(void)
{
    return PyModule_Create(&module);
}
