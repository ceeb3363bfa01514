/* Header blocks of HTTP/2 in one pass: what wire.hpack.reading and wire.http2.known make of those that they take without
   a word. Whatever is not known here, or not in order, or beyond a limit, is None, and goes to them.

   `configure` is given all that it goes by (wire.hpack.native): the lengths of the Huffman codes, what each byte may be,
   and names. Lookups are checked against what the table has at that moment; nothing is kept between two calls. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef unsigned char byte;

enum { NAME = 1, VALUE = 2, PATH = 4, QUERY = 8, HEX = 16 };
enum { SYMBOLS = 257, EOS = 256, LONGEST = 30, MOST_FIELDS = 256, MOST_NAMES = 32, OVERHEAD = 32, SHORT = 1024 };

typedef struct {
    PyObject *name; /* bytes in lower case */
    int prefix;     /* something has to follow */
} Special;

static byte klass[256], first_of[256];
static Special specials[MOST_NAMES];
static int special_count, ready = 0;
static Py_ssize_t first_dynamic;
static PyObject *credentials, *methods_served, *schemes;

/* The Huffman code is canonical: of each length the first code, how many there are, and where their symbols begin. */
static uint32_t code_first[LONGEST + 1], code_count[LONGEST + 1], code_place[LONGEST + 1];
static short in_order[SYMBOLS];
static struct {
    byte symbol, length; /* 0: longer than 8 bits */
} quick[256];

#define ITEM_BYTES(pair, n) PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, n))
#define PAIR_BYTES(pair) (ITEM_BYTES(pair, 0) + ITEM_BYTES(pair, 1) + OVERHEAD)

static int uncode(const byte *data, Py_ssize_t size, byte *out, Py_ssize_t *made)
{
    uint64_t bits = 0;
    int count = 0;
    byte *start = out;
    for (Py_ssize_t at = 0;;) {
        while (count <= 56 && at < size) {
            bits = bits << 8 | data[at++];
            count += 8;
        }
        if (count >= 8) {
            int index = (int)(bits >> (count - 8)) & 255;
            if (quick[index].length) {
                *out++ = quick[index].symbol;
                count -= quick[index].length;
                continue;
            }
        }
        int length, whole = 0;
        for (length = 1; !whole && length <= LONGEST && length <= count; length++) {
            uint32_t code = (uint32_t)(bits >> (count - length)) & (uint32_t)((1u << length) - 1);
            if (code_count[length] && code >= code_first[length] && code - code_first[length] < code_count[length]) {
                int symbol = in_order[code_place[length] + code - code_first[length]];
                if (symbol == EOS)
                    return -1;
                *out++ = (byte)symbol;
                whole = length;
            }
        }
        count -= whole;
        if (!whole)
            break; /* there are 57 bits or all that is left */
    }
    if (count > 7 || (bits & ((1u << count) - 1)) != (1u << count) - 1)
        return -1;
    *made = out - start;
    return 0;
}

/* A string of `size` bytes; NULL without an exception: it is malformed. */
static PyObject *string(const byte *data, Py_ssize_t size, int coded)
{
    if (!coded)
        return PyBytes_FromStringAndSize((const char *)data, size);
    byte room[SHORT];
    Py_ssize_t most = size * 8 / 5 + 1, made = 0;
    byte *out = most <= SHORT ? room : PyMem_Malloc((size_t)most);
    PyObject *text = NULL;
    if (out == NULL)
        return PyErr_NoMemory();
    if (uncode(data, size, out, &made) == 0)
        text = PyBytes_FromStringAndSize((const char *)out, made);
    if (out != room)
        PyMem_Free(out);
    return text;
}

/* An integer whose prefix has the bits `mask`; -1: cut off, or too long. */
static int64_t integer(const byte *data, Py_ssize_t size, Py_ssize_t *at, int mask)
{
    int64_t value = data[(*at)++] & mask;
    if (value < mask)
        return value;
    for (int shift = 0; shift < 35; shift += 7) {
        if (*at >= size)
            return -1;
        byte next = data[(*at)++];
        value += (int64_t)(next & 127) << shift;
        if (next < 128)
            return value;
    }
    return -1;
}

typedef struct {
    PyObject *known;                /* the table before: static fields, then entries, newest first */
    Py_ssize_t old, size, most;     /* of its entries, those that are left; bytes of all that are there */
    PyObject *put[MOST_FIELDS];     /* what was inserted since; `fields` owns it */
    Py_ssize_t inserted, gone;      /* how many, and how many of them were evicted */
    PyObject *fields[MOST_FIELDS];
    Py_ssize_t count, counted;
    Py_ssize_t never[MOST_FIELDS], nevers;
    int private;
} State;

/* The field of an index, borrowed; NULL: there is none. */
static PyObject *entry(const State *state, int64_t index)
{
    if (index < 1)
        return NULL;
    if (index < first_dynamic)
        return PyTuple_GET_ITEM(state->known, index);
    index -= first_dynamic;
    Py_ssize_t live = state->inserted - state->gone;
    if (index < live)
        return state->put[state->inserted - 1 - index];
    index -= live;
    return index < state->old ? PyTuple_GET_ITEM(state->known, first_dynamic + index) : NULL;
}

static void insert(State *state, PyObject *pair)
{
    state->put[state->inserted++] = pair;
    state->size += PAIR_BYTES(pair);
    while (state->size > state->most) {
        PyObject *oldest = state->old ? PyTuple_GET_ITEM(state->known, first_dynamic + --state->old)
                                      : state->put[state->gone++];
        state->size -= PAIR_BYTES(oldest);
    }
}

/* 1: it is read, 0: it is for others, -1: an exception. */
static int read_all(State *state, const byte *data, Py_ssize_t size, Py_ssize_t head_bytes)
{
    Py_ssize_t left = head_bytes;
    for (Py_ssize_t at = 0; at < size;) {
        byte first = data[at];
        if (state->count == MOST_FIELDS)
            return 0;
        if (first & 0x80) {
            PyObject *pair = entry(state, integer(data, size, &at, 0x7F));
            if (pair == NULL)
                return 0;
            state->counted += PAIR_BYTES(pair);
            state->fields[state->count++] = Py_NewRef(pair);
            continue;
        }
        int inserts = first >= 0x40;
        if (!inserts && first >= 0x20)
            return 0; /* a size update */
        int never = !inserts && first >= 0x10;
        int64_t index = integer(data, size, &at, inserts ? 0x3F : 0x0F);
        PyObject *named = index ? entry(state, index) : NULL, *texts[2] = {NULL, NULL};
        if (index && named == NULL)
            return 0;
        for (int n = index ? 1 : 0; n < 2; n++) {
            int coded;
            int64_t length;
            if (at >= size)
                goto other;
            coded = data[at] >= 0x80;
            length = integer(data, size, &at, 0x7F);
            left -= length;
            if (length < 0 || length > size - at || left < 0)
                goto other;
            texts[n] = string(data + at, (Py_ssize_t)length, coded);
            if (texts[n] == NULL)
                goto other;
            at += length;
        }
        if (index)
            texts[0] = Py_NewRef(PyTuple_GET_ITEM(named, 0));
        int secret = PySet_Contains(credentials, texts[0]);
        PyObject *pair = secret < 0 ? NULL : PyTuple_New(2);
        if (pair == NULL)
            goto other;
        PyTuple_SET_ITEM(pair, 0, texts[0]);
        PyTuple_SET_ITEM(pair, 1, texts[1]);
        PyObject_GC_UnTrack(pair); /* it only has bytes */
        state->private |= secret | never;
        if (never)
            state->never[state->nevers++] = state->count;
        state->counted += PAIR_BYTES(pair);
        state->fields[state->count++] = pair;
        if (inserts)
            insert(state, pair);
        continue;
    other:
        Py_XDECREF(texts[0]);
        Py_XDECREF(texts[1]);
        return PyErr_Occurred() ? -1 : 0;
    }
    return state->counted <= head_bytes;
}

/* The fields by index after the block. */
static PyObject *table_after(const State *state)
{
    Py_ssize_t live = state->inserted - state->gone, at = 0;
    PyObject *made = PyTuple_New(first_dynamic + live + state->old);
    if (made == NULL)
        return NULL;
    for (; at < first_dynamic; at++)
        PyTuple_SET_ITEM(made, at, Py_NewRef(PyTuple_GET_ITEM(state->known, at)));
    for (Py_ssize_t n = state->inserted - 1; n >= state->gone; n--)
        PyTuple_SET_ITEM(made, at++, Py_NewRef(state->put[n]));
    for (Py_ssize_t n = 0; n < state->old; n++)
        PyTuple_SET_ITEM(made, at++, Py_NewRef(PyTuple_GET_ITEM(state->known, first_dynamic + n)));
    return made;
}

/* (block, fields of the table, its bytes, bytes it may have, bytes of a head, fields of a head) */
static PyObject *read_block(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    State state;
    Py_ssize_t numbers[4];
    if (!ready || nargs != 6 || !PyBytes_CheckExact(args[0]) || !PyTuple_CheckExact(args[1]))
        return PyErr_Format(PyExc_TypeError, "bytes, a tuple and four numbers, after configure");
    for (int n = 0; n < 4; n++) {
        numbers[n] = PyLong_AsSsize_t(args[n + 2]);
        if (numbers[n] == -1 && PyErr_Occurred())
            return NULL;
    }
    state.known = args[1];
    state.old = PyTuple_GET_SIZE(args[1]) - first_dynamic;
    state.size = numbers[0];
    state.most = numbers[1];
    state.inserted = state.gone = state.count = state.counted = state.nevers = 0;
    state.private = 0;
    int read = read_all(&state, (const byte *)PyBytes_AS_STRING(args[0]), PyBytes_GET_SIZE(args[0]), numbers[2]);
    PyObject *after = Py_None, *fields = NULL, *never = NULL, *made = NULL;
    if (read == 1 && state.count <= numbers[3]) {
        fields = PyTuple_New(state.count);
        never = PyTuple_New(state.nevers);
        after = state.inserted ? table_after(&state) : Py_NewRef(Py_None);
        if (fields != NULL && never != NULL && after != NULL) {
            for (Py_ssize_t n = 0; n < state.count; n++)
                PyTuple_SET_ITEM(fields, n, Py_NewRef(state.fields[n]));
            int failed = 0;
            for (Py_ssize_t n = 0; n < state.nevers; n++) {
                PyObject *place = PyLong_FromSsize_t(state.never[n]);
                failed |= place == NULL;
                PyTuple_SET_ITEM(never, n, place);
            }
            if (!failed)
                made = Py_BuildValue("OOOnOn", fields, never, state.private ? Py_True : Py_False, state.counted, after,
                                     state.size);
        }
        Py_XDECREF(fields);
        Py_XDECREF(never);
        Py_XDECREF(after);
    } else if (read >= 0)
        made = Py_NewRef(Py_None);
    for (Py_ssize_t n = 0; n < state.count; n++)
        Py_DECREF(state.fields[n]);
    return made;
}

static Py_ssize_t span(const byte *data, Py_ssize_t at, Py_ssize_t size, int classes)
{
    while (at < size && klass[data[at]] & classes)
        at++;
    return at;
}

static int is_special(const byte *name, Py_ssize_t size)
{
    for (int n = 0; first_of[name[0]] && n < special_count; n++) {
        Py_ssize_t length = PyBytes_GET_SIZE(specials[n].name);
        if (specials[n].prefix ? size > length : size == length)
            if (memcmp(name, PyBytes_AS_STRING(specials[n].name), (size_t)length) == 0)
                return 1;
    }
    return 0;
}

/* Without control bytes, and without blanks around it. */
static int is_sound(const byte *value, Py_ssize_t size)
{
    if (!size)
        return 1;
    byte first = value[0], last = value[size - 1];
    return first != ' ' && first != '\t' && last != ' ' && last != '\t' && span(value, 0, size, VALUE) == size;
}

static int is_target(const byte *data, Py_ssize_t size)
{
    if (!size || data[0] != '/')
        return 0;
    Py_ssize_t at = 1;
    for (; at < size; at++) {
        if (klass[data[at]] & PATH)
            continue;
        if (data[at] != '%')
            break;
        if (size - at < 3 || !(klass[data[at + 1]] & HEX) || !(klass[data[at + 2]] & HEX) ||
            (data[at + 1] == '0' && data[at + 2] == '0'))
            return 0;
        at += 2;
    }
    return at == size || (data[at] == '?' && span(data, at + 1, size, QUERY) == size);
}

static byte *copied(byte *out, const void *data, Py_ssize_t size)
{
    memcpy(out, data, (size_t)size);
    return out + size;
}

/* (fields of a request, bytes of a target): (method, target, host, field lines, the first value of Priority) */
static PyObject *plain_head(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    static const char *const pseudo[] = {":method", ":scheme", ":path", ":authority"};
    PyObject *found[4] = {NULL, NULL, NULL, NULL}, *priority = NULL;
    Py_ssize_t most, count, bytes = 0, crumbs = 0;
    if (!ready || nargs != 2 || !PyTuple_CheckExact(args[0]))
        return PyErr_Format(PyExc_TypeError, "a tuple and a number, after configure");
    most = PyLong_AsSsize_t(args[1]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    count = PyTuple_GET_SIZE(args[0]);
    if (count < 4)
        Py_RETURN_NONE;
    for (Py_ssize_t n = 0; n < count; n++) {
        PyObject *pair = PyTuple_GET_ITEM(args[0], n);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1)))
            return PyErr_Format(PyExc_TypeError, "not pairs of bytes");
        const byte *name = (const byte *)PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 0));
        const byte *value = (const byte *)PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 1));
        Py_ssize_t size = ITEM_BYTES(pair, 0);
        if (n < 4) {
            int which = 0;
            while (which < 4 && strcmp((const char *)name, pseudo[which]))
                which++;
            if (which == 4 || size != (Py_ssize_t)strlen(pseudo[which]) || found[which] != NULL)
                Py_RETURN_NONE;
            found[which] = PyTuple_GET_ITEM(pair, 1);
            continue;
        }
        if (!size || span(name, 0, size, NAME) != size || is_special(name, size) || !is_sound(value, ITEM_BYTES(pair, 1)))
            Py_RETURN_NONE;
        bytes += PAIR_BYTES(pair);
        if (size == 8 && priority == NULL && memcmp(name, "priority", 8) == 0)
            priority = PyTuple_GET_ITEM(pair, 1);
    }
    for (int n = 0; n < 2; n++) {
        int has = PySet_Contains(n ? schemes : methods_served, found[n]);
        if (has < 0)
            return NULL;
        if (!has)
            Py_RETURN_NONE;
    }
    Py_ssize_t target = PyBytes_GET_SIZE(found[2]), host = PyBytes_GET_SIZE(found[3]);
    if (!host || target > most || !is_target((const byte *)PyBytes_AS_STRING(found[2]), target))
        Py_RETURN_NONE;
    PyObject *lines = PyBytes_FromStringAndSize(NULL, bytes + host + OVERHEAD);
    if (lines == NULL)
        return NULL;
    byte *start = (byte *)PyBytes_AS_STRING(lines), *out = copied(start, "\r\nhost: ", 8);
    out = copied(copied(out, PyBytes_AS_STRING(found[3]), host), "\r\n", 2);
    for (Py_ssize_t n = 4; n < count; n++) {
        PyObject *pair = PyTuple_GET_ITEM(args[0], n);
        const char *name = PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 0));
        Py_ssize_t size = ITEM_BYTES(pair, 0);
        if (size == 6 && memcmp(name, "cookie", 6) == 0)
            crumbs++;
        else if (memchr(name, '_', (size_t)size) == NULL) {
            out = copied(copied(out, name, size), ": ", 2);
            out = copied(copied(out, PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 1)), ITEM_BYTES(pair, 1)), "\r\n", 2);
        }
    }
    for (Py_ssize_t n = 4, joined = 0; crumbs && n < count; n++) {
        PyObject *pair = PyTuple_GET_ITEM(args[0], n);
        if (ITEM_BYTES(pair, 0) != 6 || memcmp(PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 0)), "cookie", 6) != 0)
            continue;
        out = joined++ ? copied(out, "; ", 2) : copied(out, "cookie: ", 8);
        out = copied(out, PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 1)), ITEM_BYTES(pair, 1));
    }
    if (crumbs)
        out = copied(out, "\r\n", 2);
    if (_PyBytes_Resize(&lines, out - start) < 0)
        return NULL;
    if (priority == NULL)
        return Py_BuildValue("OOONy", found[0], found[2], found[3], lines, "");
    return Py_BuildValue("OOONO", found[0], found[2], found[3], lines, priority);
}

static int learn_code(const byte *lengths)
{
    uint32_t code = 0;
    int place = 0;
    memset(code_count, 0, sizeof(code_count));
    memset(quick, 0, sizeof(quick));
    for (int length = 1; length <= LONGEST; length++) {
        code <<= 1;
        code_first[length] = code;
        code_place[length] = (uint32_t)place;
        for (int symbol = 0; symbol < SYMBOLS; symbol++) {
            if (lengths[symbol] != length)
                continue;
            if (length <= 8 && symbol != EOS)
                for (int rest = 0; rest < 1 << (8 - length); rest++) {
                    int index = (int)(code << (8 - length)) + rest;
                    if (index > 255)
                        return -1;
                    quick[index].symbol = (byte)symbol;
                    quick[index].length = (byte)length;
                }
            in_order[place++] = (short)symbol;
            code_count[length]++;
            code++;
        }
    }
    return place == SYMBOLS ? 0 : -1;
}

static PyObject *configure(PyObject *self, PyObject *args)
{
    PyObject *lengths, *classes, *names, *secret, *served, *known_schemes;
    Py_ssize_t dynamic;
    if (!PyArg_ParseTuple(args, "SSO!O!O!O!n", &lengths, &classes, &PyTuple_Type, &names, &PyFrozenSet_Type, &secret,
                          &PyFrozenSet_Type, &served, &PyFrozenSet_Type, &known_schemes, &dynamic))
        return NULL;
    if (PyBytes_GET_SIZE(lengths) != SYMBOLS || PyBytes_GET_SIZE(classes) != 256 || dynamic < 1 ||
        PyTuple_GET_SIZE(names) > MOST_NAMES || learn_code((const byte *)PyBytes_AS_STRING(lengths)) < 0)
        return PyErr_Format(PyExc_ValueError, "a table of another size");
    memcpy(klass, PyBytes_AS_STRING(classes), 256);
    memset(first_of, 0, sizeof(first_of));
    special_count = 0;
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(names); n++) {
        PyObject *name = PyTuple_GET_ITEM(names, n);
        Py_ssize_t size = PyBytes_CheckExact(name) ? PyBytes_GET_SIZE(name) : 0;
        if (!size)
            return PyErr_Format(PyExc_ValueError, "a name that is empty");
        const byte *text = (const byte *)PyBytes_AS_STRING(name);
        specials[special_count++] = (Special){Py_NewRef(name), text[size - 1] == '-'};
        first_of[text[0]] = 1;
    }
    credentials = Py_NewRef(secret);
    methods_served = Py_NewRef(served);
    schemes = Py_NewRef(known_schemes);
    first_dynamic = dynamic;
    ready = 1;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"configure", configure, METH_VARARGS, "What all of it goes by."},
    {"read_block", (PyCFunction)(void (*)(void))read_block, METH_FASTCALL, NULL}, /* see wire.hpack.native */
    {"plain_head", (PyCFunction)(void (*)(void))plain_head, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_blocks", "Header blocks in one pass.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__blocks(void)
{
    return PyModule_Create(&module);
}
