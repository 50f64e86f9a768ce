"""What stands in a code of Python's: the names that it uses, the modules that it imports, the attributes that it sets.

Python 3.7, standard library only.
"""

import dis
import functools
import types

PASSED = ("LOAD_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "BINARY_SUBSCR", "BINARY_OP", "CACHE")  # between a table and its return
GIVEN = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR")
#: what code calls without a name for it: `table[key]`, `for each in table`; since Python 3.14 the first one is a BINARY_OP
UNNAMED = {"BINARY_SUBSCR": "__getitem__", "BINARY_OP []": "__getitem__", "GET_ITER": "__iter__"}


def per_code(read):
    """A function of a code whose answers are kept, by the code's id; the code is kept as well, so that its id is no other's."""
    known = {}

    @functools.wraps(read)
    def kept(code):
        if id(code) not in known:
            known[id(code)] = code, read(code)
        return known[id(code)][1]

    return kept


def nested(code):
    """A code, and those inside it."""
    stack = [code]
    while stack:
        one = stack.pop()
        stack += [each for each in one.co_consts if isinstance(each, types.CodeType)]
        yield one


@per_code
def words(code):
    """(the names in a code and in those inside it, those of what it calls without a name among them; the modules that they
    import)."""
    names, imports = set(), set()
    for one in nested(code):
        names.update(one.co_names)
        for each in dis.get_instructions(one):
            if each.opname == "IMPORT_NAME" and each.argval:
                imports.add(each.argval)
            operator = " []" if each.opname == "BINARY_OP" and each.argrepr == "[]" else ""
            names.add(UNNAMED.get(each.opname + operator, ""))
    return frozenset(names - {""}), imports


@per_code
def sets(code):
    """The names of the attributes that a code, and those inside it, set or delete."""
    return _stored(code, ("STORE_ATTR", "DELETE_ATTR"))


@per_code
def bound(code):
    """The names, of a module or attributes, that a code, and those inside it, give an object to."""
    return _stored(code, ("STORE_GLOBAL", "STORE_ATTR"))


@per_code
def module_names(code):
    """The names of a module that a code, and those inside it, give an object to."""
    return _stored(code, ("STORE_GLOBAL",))


def place(code):
    return [code.co_filename, code.co_firstlineno, code.co_name]


def _stored(code, kinds):
    return frozenset(each.argval for one in nested(code) for each in dis.get_instructions(one) if each.opname in kinds)


@per_code
def returned(code):
    """(name, whether as it is) of what a function gives back, of a module's names or attributes: else it is one out of it."""
    return frozenset(_given(list(dis.get_instructions(code))))


def _given(instructions):
    for at, one in enumerate(instructions):
        if one.opname == "RETURN_VALUE":
            before = at - 1
            while before > 0 and instructions[before].opname.startswith(PASSED):
                before -= 1
            if before >= 0 and instructions[before].opname in GIVEN:
                yield instructions[before].argval, before == at - 1
