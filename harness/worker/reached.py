"""What a function of an application's can reach: told from the names in its code and the objects that bear them.

Nothing is called. A name in a function's code is followed to the object that its module has under it; an attribute's name to
the attribute of any object that the same function reaches. So it is more than what runs, and what is looked up by a text is
not seen.
`Reach.objects` holds objects, so that two reaches can be compared by identity. Python 3.7, standard library only.
"""

import dis
import functools
import os
import sys
import types

MOST_VISITS = 60000
MOST_VALUES = 50  # of a container that are looked at
MOST_DEPTH = 5  # levels of library code, counted from the application's own
SILENT = ("celery", "kombu", "billiard", "amqp", "vine", "harness", "builtins")  # they know of forks, or are nobody's
#: of these nothing inside is looked at: they are what is looked for
WHOLE = (
    "threading", "queue", "_queue", "_thread", "concurrent.futures", "multiprocessing", "asyncio", "socket", "ssl", "logging",
)  # fmt: skip
PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), type(Ellipsis), range, slice)
CONTAINERS = (dict, list, tuple, set, frozenset)
ALWAYS = ("__call__", "__enter__", "__exit__")
MADE = ALWAYS + ("__init__", "__new__")  # of a class that is named: it may be made
_WORDS = {}  # of codes by id; the code is kept, so that its id is no other's


class Own:
    """Which files are the application's own: those below its folders that are not installed there."""

    def __init__(self, folders):
        self.folders = tuple(os.path.realpath(folder) + os.sep for folder in folders)
        self.known = {}

    def __call__(self, file):
        if file not in self.known:
            path = os.path.realpath(file)
            below = next((path[len(one) :] for one in self.folders if path.startswith(one)), None)
            self.known[file] = below is not None and not ("site-packages" in below or "dist-packages" in below)
        return self.known[file]


class Reach:
    """`functions`: codes by id; `objects`: id -> (label, object, codes that name it, by id); `imports`: module -> codes by id;
    `packages`: root of a library that is reached -> label of what was reached of it."""

    def __init__(self, own):
        self.own = own
        self.functions, self.objects, self.imports, self.packages = {}, {}, {}, {}
        self._seen, self._stack, self._visits = set(), [], 0

    def add(self, value, label):
        """Follow this object, as something that is called."""
        self._stack.append((value, label, frozenset(ALWAYS), None, 0))
        while self._stack and self._visits < MOST_VISITS:
            self._visits += 1
            self._visit(*self._stack.pop())

    def add_call(self, function, values, label):
        """Follow a function that is called with these values."""
        self.add(function, label)
        inner = getattr(function, "__func__", function)
        code = getattr(inner, "__code__", None)
        names = words(code)[0] if code is not None else frozenset(ALWAYS)
        for value in values:
            self._stack.append((value, "an argument of %s" % label, names, code, 0))
        while self._stack and self._visits < MOST_VISITS:
            self._visits += 1
            self._visit(*self._stack.pop())

    def _visit(self, value, label, names, user, depth):
        kind = type(value)
        if kind in PLAIN or depth > MOST_DEPTH:
            return
        if kind is types.MethodType:
            self._function(value.__func__, value.__self__, depth)
        elif kind is types.FunctionType:
            self._function(value, None, depth)
        elif kind in (staticmethod, classmethod):
            self._visit(value.__func__, label, names, user, depth)
        elif kind is functools.partial:
            for part in (value.func,) + value.args + tuple(value.keywords.values()):
                self._stack.append((part, label, names, user, depth))
        elif kind is types.ModuleType:
            self._module(value, names, user, depth)
        elif isinstance(value, type):
            self._class(value, label, names, user, depth)
        elif (id(value), id(user)) not in self._seen:
            self._seen.add((id(value), id(user)))
            self._object(value, label, names, user, depth)

    def _module(self, module, names, user, depth):
        found, name = vars(module), module.__name__
        root = name.partition(".")[0]
        if root in SILENT or (module.__name__, id(user)) in self._seen:
            return
        self._seen.add((module.__name__, id(user)))
        if not self.own(getattr(module, "__file__", None) or ""):
            self.packages.setdefault(root, name)
            if user is None or not self.own(user.co_filename):
                return
        for each in names:
            if each in found:
                self._stack.append((found[each], "%s.%s" % (name, each), names, user, depth))

    def _class(self, kind, label, names, user, depth):
        root = (kind.__module__ or "").partition(".")[0]
        if root in SILENT or whole(kind):
            return
        file = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
        if not self.own(file):
            self.packages.setdefault(root, label)
        for name in names.union(MADE):
            found = vars(kind).get(name)
            if isinstance(found, (types.FunctionType, staticmethod, classmethod)):
                self._stack.append((found, "%s.%s" % (label, name), names, user, depth))

    def _object(self, value, label, names, user, depth):
        kind = type(value)
        root = (kind.__module__ or "").partition(".")[0]
        if is_celerys(kind):
            return
        self._note(value, label, user)
        if isinstance(value, CONTAINERS) or kind.__name__ == "deque":
            for each in contents(value):
                if not isinstance(each, PLAIN):
                    self._stack.append((each, label, names, user, depth))
        if root not in SILENT and not self.own(getattr(sys.modules.get(kind.__module__), "__file__", None) or ""):
            self.packages.setdefault(root, label)
        if whole(kind) and not of_thread(kind):
            return
        own = attributes(value)
        for name in names:
            if name in own:
                self._stack.append((own[name], "%s.%s" % (label, name), names, user, depth))
        for name in names.union(ALWAYS, ("run",) if of_thread(kind) else ()):
            found = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
            if isinstance(found, property):
                found = found.fget
            if isinstance(found, (staticmethod, classmethod)):
                found = found.__func__
            if isinstance(found, types.FunctionType):
                self._function(found, value, depth)

    def _note(self, value, label, user):
        if id(value) not in self.objects:
            self.objects[id(value)] = (label, value, {})
        if user is not None:
            self.objects[id(value)][2][id(user)] = user

    def _function(self, function, owner, depth):
        code = function.__code__
        if (id(code), id(owner)) in self._seen:
            return
        self._seen.add((id(code), id(owner)))
        own = self.own(code.co_filename)
        depth = 0 if own else depth + 1
        root = (function.__module__ or "").partition(".")[0]
        if root in SILENT:
            return
        if not own:
            self.packages.setdefault(root, "%s.%s" % (function.__module__, function.__qualname__))
        self.functions[id(code)] = code
        names, imports = words(code)
        for name in imports:
            self._import(name, function, code, names, depth)
        for name in names:
            if name in function.__globals__:
                label = "%s.%s" % (function.__module__, name)
                self._stack.append((function.__globals__[name], label, names, code, depth))
        for name, cell in zip(code.co_freevars, function.__closure__ or ()):
            try:
                self._stack.append((cell.cell_contents, "%s of %s" % (name, function.__qualname__), names, code, depth))
            except ValueError:  # an empty cell
                continue
        for value in function.__defaults__ or ():
            self._stack.append((value, "a default of %s" % function.__qualname__, names, code, depth))
        if owner is not None:
            label = self.objects[id(owner)][0] if id(owner) in self.objects else "self of %s" % function.__qualname__
            self._visit(owner, label, names, code, depth)

    def _import(self, name, function, code, names, depth):
        package = function.__globals__.get("__package__") or ""
        for full in (name, ("%s.%s" % (package, name)).strip(".")):
            self.imports.setdefault(full, {})[id(code)] = code
            if full in sys.modules:
                self._stack.append((sys.modules[full], full, names, code, depth))


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


def attributes(value):
    """Its own attributes by name, without running any code of its class."""
    try:
        found = dict(object.__getattribute__(value, "__dict__"))
    except Exception:
        found = {}
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = vars(base).get(name)
            if isinstance(member, types.MemberDescriptorType):
                try:
                    found.setdefault(name, member.__get__(value))
                except AttributeError:
                    continue
    return found


def contents(value):
    """Some of a container's, each once."""
    try:
        found = list(dict.values(value)) if isinstance(value, dict) else list(value)
    except Exception:  # it changes while it is read, or its class reads in its own way
        return []
    return found[:MOST_VALUES]


def whole(kind):
    return any((base.__module__ or "").startswith(WHOLE) for base in kind.__mro__[:-1])


def of_thread(kind):
    """Whether its own code runs in a thread: what such an object holds is looked at."""
    return any(base.__name__ in ("Thread", "Process") for base in kind.__mro__) and kind.__module__ not in ("threading",)


def is_celerys(kind):
    """Celery's own objects, tasks among them: each task is looked at for itself."""
    return any((base.__module__ or "").partition(".")[0] in SILENT[:-1] for base in kind.__mro__[:-1])
