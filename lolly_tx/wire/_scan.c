/* The scan of a head in one pass: what the regular expressions of wire.http1 and wire.fields find, for heads that
   they take without a word. Whatever is not known here, not whole or not in order is None, and goes to them.

   It knows no grammar: `configure` is given a table of what each byte may be, and the names of special fields, both
   made of wire.grammar (wire.scanner). Nothing is allocated before a head has been read to its end; then each object
   that is handed out is made, and nothing else. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

typedef unsigned char byte;

/* What a byte may be part of; of the last two, what a special name begins with. */
enum { TOKEN = 1, NAME = 2, VALUE = 4, PATH = 8, QUERY = 16, HEX = 32, OF_REQUEST = 64, OF_RESPONSE = 128 };
enum { MOST_FOUND = 64 };

typedef struct {
    int name_bytes, first;
    PyObject *specials; /* a tuple of bytes in lower case, kept for good; "x-" is whatever begins so and goes on */
} Kind;

typedef struct {
    Py_ssize_t name, colon, value, end;
    PyObject *special;
} Found;

typedef struct {
    const byte *data;
    Py_ssize_t size, limits[3]; /* most bytes of the head, most bytes of its first line, most fields */
    Py_ssize_t line_end, end;
    int minor, count;
    Found found[MOST_FOUND];
} Head;

static byte klass[256];
static Kind requests = {NAME, OF_REQUEST, NULL}, responses = {TOKEN, OF_RESPONSE, NULL};

/* Where the bytes of `classes` end that begin at `at`. */
static Py_ssize_t span(const Head *head, Py_ssize_t at, int classes)
{
    const byte *d = head->data + at;
    for (; head->size - at >= 8; at += 8, d += 8) /* together, because hardly any ends here */
        if (!(klass[d[0]] & klass[d[1]] & klass[d[2]] & klass[d[3]] & klass[d[4]] & klass[d[5]] & klass[d[6]] &
              klass[d[7]] & classes))
            break;
    while (at < head->size && klass[head->data[at]] & classes)
        at++;
    return at;
}

static int begins(const Head *head, Py_ssize_t at, const char *text)
{
    Py_ssize_t length = (Py_ssize_t)strlen(text);
    return head->size - at >= length && memcmp(head->data + at, text, (size_t)length) == 0;
}

static PyObject *special_of(const Kind *kind, const byte *name, Py_ssize_t size)
{
    for (Py_ssize_t n = 0; klass[name[0]] & kind->first && n < PyTuple_GET_SIZE(kind->specials); n++) {
        PyObject *special = PyTuple_GET_ITEM(kind->specials, n);
        const byte *low = (const byte *)PyBytes_AS_STRING(special);
        Py_ssize_t i = 0, length = PyBytes_GET_SIZE(special);
        if (low[length - 1] == '-' ? size <= length : size != length)
            continue;
        while (i < length && Py_TOLOWER(name[i]) == low[i])
            i++;
        if (i == length)
            return special;
    }
    return NULL;
}

/* The fields from `at` on, each with its CRLF, and the empty line; where the head ends, or -1. */
static Py_ssize_t fields(Head *head, Py_ssize_t at, const Kind *kind)
{
    head->count = 0;
    for (Py_ssize_t lines = 0; !begins(head, at, "\r\n"); lines++) {
        Py_ssize_t name = at, colon = span(head, at, kind->name_bytes), value = colon + 1;
        if (lines == head->limits[2] || head->count == MOST_FOUND || colon == name || !begins(head, colon, ":"))
            return -1;
        while (value < head->size && (head->data[value] == ' ' || head->data[value] == '\t'))
            value++;
        at = span(head, value, VALUE);
        if (!begins(head, at, "\r\n"))
            return -1;
        PyObject *special = special_of(kind, head->data + name, colon - name);
        if (special != NULL)
            head->found[head->count++] = (Found){name, colon, value, at, special};
        at += 2;
    }
    return at + 2;
}

/* A version, and what follows a first line that ends at `at`; whether all of it is known and within the limits. */
static int rest(Head *head, Py_ssize_t version, Py_ssize_t at, const Kind *kind)
{
    head->minor = begins(head, version, "HTTP/1.1");
    if (!(head->minor || begins(head, version, "HTTP/1.0")) || !begins(head, at, "\r\n") || at > head->limits[1])
        return 0;
    head->line_end = at;
    head->end = fields(head, at + 2, kind);
    return head->end > 0 && head->end <= head->limits[0];
}

static PyObject *text(const Head *head, Py_ssize_t from, Py_ssize_t to)
{
    return PyBytes_FromStringAndSize((const char *)head->data + from, to - from);
}

static PyObject *lowered(const Head *head, Py_ssize_t from, Py_ssize_t to)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, to - from); /* never one that others have */
    char *out = made != NULL ? PyBytes_AS_STRING(made) : NULL;
    while (out != NULL && from < to)
        *out++ = Py_TOLOWER(head->data[from++]);
    return made;
}

/* A tuple that takes all its parts; NULL where one is. */
static PyObject *tuple(PyObject *const *parts, int count)
{
    PyObject *made = PyTuple_New(count);
    for (int n = 0; n < count; n++)
        if (made == NULL || parts[n] == NULL) {
            Py_CLEAR(made);
            Py_XDECREF(parts[n]);
        } else
            PyTuple_SET_ITEM(made, n, parts[n]);
    return made;
}

/* [(name, value), ...] in lower case. */
static PyObject *pairs(const Head *head)
{
    PyObject *list = PyList_New(head->count);
    for (int n = 0; list != NULL && n < head->count; n++) {
        const Found *found = &head->found[n];
        int whole = PyBytes_GET_SIZE(found->special) == found->colon - found->name;
        PyObject *name = whole ? Py_NewRef(found->special) : lowered(head, found->name, found->colon);
        PyObject *pair = tuple((PyObject *[]){name, lowered(head, found->value, found->end)}, 2);
        if (pair == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, n, pair);
    }
    return list;
}

/* All that was found, the two parts of the first line before it. */
static PyObject *result(const Head *head, PyObject *one, PyObject *two)
{
    PyObject *parts[] = {one, two, PyLong_FromLong(head->minor), PyLong_FromSsize_t(head->line_end),
                         PyLong_FromSsize_t(head->end), pairs(head)};
    return tuple(parts, 6);
}

/* (data, most bytes of the head, most bytes of its first line, most fields) */
static int arguments(Head *head, PyObject *const *args, Py_ssize_t count)
{
    if (responses.specials == NULL || count != 4 || !PyBytes_CheckExact(args[0]))
        return PyErr_SetString(PyExc_TypeError, "bytes and three limits, after configure"), -1;
    head->data = (const byte *)PyBytes_AS_STRING(args[0]);
    head->size = PyBytes_GET_SIZE(args[0]);
    for (int n = 0; n < 3; n++) {
        head->limits[n] = PyLong_AsSsize_t(args[n + 1]);
        if (head->limits[n] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

/* Where the target that begins at `at` ends, or -1. */
static Py_ssize_t target_end(const Head *head, Py_ssize_t at)
{
    if (begins(head, at, "*"))
        return at + 1;
    if (!begins(head, at, "/"))
        return -1;
    for (at = span(head, at + 1, PATH); begins(head, at, "%"); at = span(head, at + 3, PATH))
        if (span(head, at + 1, HEX) < at + 3 || begins(head, at, "%00"))
            return -1;
    return begins(head, at, "?") ? span(head, at + 1, QUERY) : at;
}

static PyObject *scan_request(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Head head;
    if (arguments(&head, args, nargs) < 0)
        return NULL;
    Py_ssize_t method = span(&head, 0, TOKEN);
    if (!method || !begins(&head, method, " ") || begins(&head, 0, "CONNECT "))
        Py_RETURN_NONE;
    Py_ssize_t target = target_end(&head, method + 1);
    if (target < 0 || !begins(&head, target, " ") || !rest(&head, target + 1, target + 9, &requests))
        Py_RETURN_NONE;
    return result(&head, text(&head, 0, method), text(&head, method + 1, target));
}

static PyObject *scan_response(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Head head;
    Py_ssize_t at = 12, reason = 12;
    int status = 0;
    if (arguments(&head, args, nargs) < 0)
        return NULL;
    if (!begins(&head, 8, " ") || head.size < at)
        Py_RETURN_NONE;
    for (int n = 9; n < 12 && Py_ISDIGIT(head.data[n]); n++) /* fewer than three are less than 100 */
        status = 10 * status + head.data[n] - '0';
    if (begins(&head, at, " "))
        at = span(&head, ++reason, VALUE);
    if (status < 100 || status > 599 || !rest(&head, 0, at, &responses))
        Py_RETURN_NONE;
    return result(&head, PyLong_FromLong(status), text(&head, reason, at));
}

static PyObject *configure(PyObject *self, PyObject *args)
{
    PyObject *classes, *names[2];
    if (!PyArg_ParseTuple(args, "SO!O!", &classes, &PyTuple_Type, &names[0], &PyTuple_Type, &names[1]))
        return NULL;
    for (int kind = 0; kind < 2; kind++)
        for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(names[kind]); n++) {
            PyObject *name = PyTuple_GET_ITEM(names[kind], n);
            if (!PyBytes_Check(name) || !PyBytes_GET_SIZE(name))
                return PyErr_Format(PyExc_ValueError, "names are bytes, and not empty");
        }
    if (PyBytes_GET_SIZE(classes) != 256)
        return PyErr_Format(PyExc_ValueError, "not a table of 256 bytes");
    memcpy(klass, PyBytes_AS_STRING(classes), 256);
    requests.specials = Py_NewRef(names[0]);
    responses.specials = Py_NewRef(names[1]);
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
