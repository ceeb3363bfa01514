/* Before each compiled module (setup.py): errors are rare, so the compiler is to keep what tells of them apart. What
   is left of a function is half as long, and more of the way of a request fits into the processor's caches. */

#include <Python.h>

#include "CPy.h"

void CPy_AddTraceback(const char *, const char *, int, PyObject *) __attribute__((cold));
void CPy_AttributeError(const char *, const char *, const char *, const char *, int, PyObject *) __attribute__((cold));
void CPy_TypeError(const char *, PyObject *) __attribute__((cold));
void CPy_TypeErrorTraceback(const char *, const char *, int, PyObject *, const char *, PyObject *) __attribute__((cold));
