"""What stands in a code of Python's: the names that it uses, the modules that it imports, the attributes that it sets.

Python 3.7, standard library only.
"""

import dis
import types

PASSED = ("LOAD_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "BINARY_SUBSCR", "BINARY_OP", "CACHE")  # between a table and its return
GIVEN = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR")
_WORDS, _SETS, _RETURNED = {}, {}, {}  # of codes by id; the code is kept, so that its id is no other's


def words(code):
    """(the names in a code and in those inside it, the modules that they import)."""
    if id(code) not in _WORDS:
        _WORDS[id(code)] = code, _read(code)
    return _WORDS[id(code)][1]


def _read(code):
    names, imports, stack = set(), set(), [code]
    while stack:
        one = stack.pop()
        names.update(one.co_names)
        stack += [each for each in one.co_consts if isinstance(each, types.CodeType)]
        imports.update(each.argval for each in dis.get_instructions(one) if each.opname == "IMPORT_NAME" and each.argval)
    return frozenset(names), imports


def sets(code):
    """The names of the attributes that a code, and those inside it, set or delete."""
    if id(code) not in _SETS:
        inside = [each for each in code.co_consts if isinstance(each, types.CodeType)]
        own = {each.argval for each in dis.get_instructions(code) if each.opname in ("STORE_ATTR", "DELETE_ATTR")}
        _SETS[id(code)] = code, frozenset(own).union(*map(sets, inside))
    return _SETS[id(code)][1]


def bound(code):
    """The names, of a module or attributes, that a code, and those inside it, give an object to."""
    inside = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    given = {each.argval for each in dis.get_instructions(code) if each.opname in ("STORE_GLOBAL", "STORE_ATTR")}
    return frozenset(given).union(*map(bound, inside))


def returned(code):
    """The names, of a module or attributes, whose objects a function gives back: as they are, or one out of a table."""
    if id(code) not in _RETURNED:
        _RETURNED[id(code)] = code, frozenset(_given(list(dis.get_instructions(code))))
    return _RETURNED[id(code)][1]


def _given(instructions):
    for at, one in enumerate(instructions):
        if one.opname == "RETURN_VALUE":
            before = at - 1
            while before > 0 and instructions[before].opname.startswith(PASSED):
                before -= 1
            if before >= 0 and instructions[before].opname in GIVEN:
                yield instructions[before].argval
