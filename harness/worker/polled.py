"""What a loop sees of an object that it asks again and again, and which functions of the application's could change that.

`while "model" not in STATE: sleep(0.1)` ends as somebody fills STATE. No method of an application's object is called. Python
3.7, standard library only.
"""

import collections
import gc
import os
import sys
import threading
import types

from harness.worker import codes, reached

MOST_KEYS = 200
EXACT = (dict, collections.OrderedDict, list, set, collections.deque)
WORDS = {None: "None", True: "True", False: "False"}
CELL = type((lambda value: lambda: value)(None).__closure__[0])  # types.CellType, since Python 3.8
#: names of what gives an object to a name that stands in no source: in the own module, or in anything
OWN_HIDDEN, HIDDEN = frozenset(("globals", "exec")), frozenset(("setattr", "vars", "__dict__", "__setattr__", "reload"))
LOOKED_UP = frozenset(("modules", "import_module"))  # how a module is come by without its name
CUTTING = frozenset(("SoftTimeLimitExceeded", "alarm", "setitimer"))  # what raises in the middle of a loop
NOBODY_KNOWS = ["", 0, "", []]  # in `elsewhere`: somebody may do anything


def word(value):
    """What a condition sees of a value: 'None', 'True', 'False', 'falsy', 'truthy', or 'object' if only its class could tell.

    >>> word(None), word(0), word("x"), word(object())
    ('None', 'falsy', 'truthy', 'object')
    """
    if value is None or isinstance(value, bool):
        return WORDS[value]
    if type(value) in EXACT + reached.PLAIN + (tuple, frozenset):
        return "truthy" if value else "falsy"
    return "object"


def of_container(value):
    """{size, slots, whole, mapping} of one whose class has nothing of its own; `slots`: what is under each key of a `mapping`,
    or which values are in another one; `whole`: whether they are all told."""
    if type(value) not in EXACT:
        return {}
    try:
        inside = list(value.items() if isinstance(value, dict) else [(each, True) for each in value])
    except RuntimeError:  # it changes while it is read
        return {}
    told = {repr(key): word(each) for key, each in inside[:MOST_KEYS] if type(key) in (str, int)}
    return {"size": len(inside), "slots": told, "whole": len(told) == len(inside), "mapping": isinstance(value, dict)}


def of_attributes(value):
    """{slots} of an object's own attributes, and of plain ones that its classes have."""
    found = {}
    for base in reversed(value.__mro__ if isinstance(value, type) else type(value).__mro__):
        found.update((name, each) for name, each in vars(base).items() if isinstance(each, reached.PLAIN))
    found.update({} if isinstance(value, type) else reached.attributes(value))
    return {"slots": {name: word(each) for name, each in found.items()}}


def functions(own):
    """[(code, the names of its module)] of all functions of the application's."""
    found = (each for each in gc.get_objects() if type(each) is types.FunctionType)
    return [(each.__code__, each.__globals__) for each in found if own(each.__code__.co_filename)]


def elsewhere(known, names, value, seen):
    """[[file, line, function, names]] of the functions that name an object, by these names or another one of their module's,
    but for functions with an id in `seen`. What a function makes for those within it, another call of it makes anew."""
    found = []
    for code, bound in known:
        if id(code) not in seen:
            called = names.union(name for name, each in bound.items() if each is value and value is not None)
            hit = called.intersection(codes.words(code)[0].union(code.co_freevars))
            found += [codes.place(code) + [sorted(hit)]] if hit else []
    return found


def hidden(known, module=None):
    """[NOBODY_KNOWS] if a function may set an attribute whose name does not stand there: of this module, or of anything."""
    for code, bound in known:
        named = codes.words(code)[0]
        sets, own = bool(HIDDEN & named), module is not None and bound is vars(module)
        if module is not None and sets:
            sets = own or bool(LOOKED_UP & named) or module in modules_of(code, bound)
        if code.co_name != "__init__" and (sets or (own and OWN_HIDDEN & named)):
            return [NOBODY_KNOWS]
    return []


def handed_on(value, label):
    """[NOBODY_KNOWS] if more than modules and attributes by its own name have an object: a method of it, a partial, a table, a
    library. Who changes it through these need not name it."""
    name, spaces, passed = name_of(label), {id(vars(each)) for each in modules()}, set()
    for thread in threading.enumerate():
        passed.update(id(getattr(thread, each, None)) for each in ("_args", "_kwargs", "args", "kwargs"))
    for each in gc.get_referrers(value):
        kept = each if isinstance(each, dict) else reached.attributes(each)
        in_reach = type(each) is tuple and len(each) == 3 and each[1] is value and isinstance(each[2], dict)
        known = in_reach or id(each) in spaces or id(each) in passed or isinstance(each, types.FrameType)
        if not known and dict.get(kept, name) is not value and not (" of " in label and isinstance(each, CELL)):
            return [NOBODY_KNOWS]
    return []


def modules():
    return [each for each in list(sys.modules.values()) if isinstance(each, types.ModuleType)]


def bases(known, label, holder):
    """The names by which functions come to what has an attribute: a module, an object, a class. `label`: its own."""
    spaces = {id(bound): bound for _, bound in known}.values() if holder is not None else ()
    found = {name for bound in spaces for name, each in bound.items() if each is holder}
    return sorted(found.union((name_of(label),), () if isinstance(holder, types.ModuleType) else ("self", "cls")))


def name_of(label):
    """How functions name an object with this label.

    >>> name_of("shop.STORE.pool"), name_of("table of make.<locals>.price")
    ('pool', 'table')
    """
    return label.partition(" ")[0].rpartition(".")[2]


def of_names(tasks, thread, known):
    """[what `shared_objects.shared` gives] of names of a module that a thread gives an object to, and tasks ask for, while what
    stands there is plain."""
    bound, setting, found = {id(code): names for code, names in known}, {}, []
    for code in thread.functions.values():
        names = bound.get(id(code), {})
        given = [(sys.modules.get(names.get("__name__")), name) for name in codes.module_names(code)]
        given += [(each, name) for each in modules_of(code, names) for name in codes.sets(code)]
        for module, name in given:
            if module is not None and isinstance(vars(module).get(name, module), reached.PLAIN):
                setting.setdefault((module.__name__, name), (module, {}))[1][id(code)] = code
    for (_, name), (module, theirs) in sorted(setting.items(), key=lambda one: one[0]):
        users, slots = {}, {name: word(vars(module)[name])}
        for number, code in tasks.functions.items():
            names = bound.get(number, {})
            if name in codes.words(code)[0] and (names is vars(module) or module in modules_of(code, names)):
                users[number] = code
        if users:
            found.append({
                "label": "%s.%s" % (module.__name__, name), "kind": "name", "state": {"slots": slots},
                "tasks": [codes.place(code) for code in users.values()], "aware": False,
                "thread": [codes.place(code) for code in theirs.values()],
                "elsewhere": elsewhere(known, {name}, None, set(users).union(theirs)) + hidden(known, module),
                "bases": bases(known, module.__name__, module),
            })  # fmt: skip
    return found


def modules_of(code, names):
    """The modules that a code names, by the names of its own module."""
    return [names[each] for each in codes.words(code)[0] if isinstance(names.get(each), types.ModuleType)]


def unread(tasks):
    """[[file, line, function, names]] of modules of the application that tasks import, and nobody has so far, and of what may
    raise in the middle of a loop: what these do then, nobody knows."""
    paths = [os.path.join(os.getcwd(), *name.split(".")) + ".py" for name in tasks.imports if name not in sys.modules]
    cut = any(tasks.own(code.co_filename) and CUTTING & codes.words(code)[0] for code in tasks.functions.values())
    return [[path, 0, "<module>", []] for path in sorted(paths) if os.path.exists(path)] + [NOBODY_KNOWS] * cut
