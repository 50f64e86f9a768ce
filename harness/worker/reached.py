"""What a function of an application's can reach: told from the names in its code and the objects that bear them.

Nothing is called. A name in a function's code is followed to the object that its module has under it; an attribute's name to
the attribute of any object that the same function reaches. So it is more than what runs, and what is looked up by a text is
not seen.
`Reach.objects` holds objects, so that two reaches can be compared by identity. Python 3.7, standard library only.
"""

import functools
import logging
import sys
import types

from harness.worker.codes import returned, words
from harness.worker.inside import CACHING, PLAIN, attributes, cached, contents

MOST_VISITS = 60000
MOST_DEPTH = 5  # levels of library code, counted from the application's own
SILENT = ("celery", "kombu", "billiard", "amqp", "vine", "harness", "builtins")  # they know of forks, or are nobody's
#: of these nothing inside is looked at: they are what is looked for
WHOLE = (
    "threading", "queue", "_queue", "_thread", "concurrent.futures", "multiprocessing", "asyncio", "socket", "ssl", "logging",
)  # fmt: skip
CONTAINERS = (dict, list, tuple, set, frozenset)
ALWAYS = ("__call__", "__enter__", "__exit__")
MADE = ALWAYS + ("__init__", "__new__")  # of a class that is named: it may be made
OF_HANDLERS = frozenset(("emit", "enqueue"))  # what a record of a logger runs in them; Python makes their locks anew in a child
HANDING = (("_thread", "_local"), ("logging", "Handler"), ("logging.handlers", "QueueListener"))


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
            if user is not None and self.own(user.co_filename):
                self._note(value, label, user)
            self._function(value.__func__, value.__self__, depth)
            self._returned(value.__func__, value.__self__, label, names, user, depth)
        elif kind is types.FunctionType:
            self._function(value, None, depth)
            self._returned(value, None, label, names, user, depth)
        elif kind in (staticmethod, classmethod):
            self._visit(value.__func__, label, names, user, depth)
        elif kind is functools.partial:
            for part in (value.func,) + value.args + tuple(value.keywords.values()):
                self._stack.append((part, label, names, user, depth))
        elif kind is CACHING:
            for part in cached(value):
                self._stack.append((part, "%s()" % label, names, user, depth))
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
        if (id(kind), id(user)) in self._seen:
            return
        self._seen.add((id(kind), id(user)))
        if self._is_own(kind):
            self._note(kind, label, user)
        else:
            self.packages.setdefault(root, label)
        for base in kind.__mro__[:-1]:
            own = self._is_own(base)
            for name in names.union(MADE).intersection(vars(base)) if own or base is kind else ():
                found = vars(base)[name]
                if isinstance(found, (types.FunctionType, staticmethod, classmethod)) or (own and name in names):
                    self._stack.append((found, "%s.%s" % (label, name), names, user, depth))
                inner = getattr(found, "__func__", found)
                if isinstance(inner, types.FunctionType) and not isinstance(found, staticmethod) and own:
                    self._stack.append((kind, label, words(inner.__code__)[0], inner.__code__, depth))
                    self._returned(inner, kind, label, names, user, depth)

    def _object(self, value, label, names, user, depth):
        kind = type(value)
        root = (kind.__module__ or "").partition(".")[0]
        if is_celerys(kind):
            self._own_attributes(value, names, user, depth)
            return
        self._note(value, label, user)
        if isinstance(value, logging.Logger):
            self._handlers(value, label, depth)
        if isinstance(value, CONTAINERS) or kind.__name__ == "deque":
            for each in contents(value):
                if not isinstance(each, PLAIN):
                    self._stack.append((each, label, names, user, depth))
        if root not in SILENT and not self._is_own(kind):
            self.packages.setdefault(root, label)
        if whole(kind) and not of_thread(kind) and not hands_on(kind):
            return
        own = attributes(value)
        for name in names:
            if name in own:
                self._stack.append((own[name], "%s.%s" % (label, name), names, user, depth))
        for name in names.union(ALWAYS, ("run",) if of_thread(kind) else ()):
            base = next((base for base in kind.__mro__ if name in vars(base)), None)
            if base is not None and not (isinstance(value, logging.Handler) and base.__module__.startswith("logging")):
                self._of_class(value, base, name, label, names, user, depth)

    def _own_attributes(self, value, names, user, depth):
        """What a task of a class of the application's has of its own, and what that class has."""
        own, label = attributes(value), "%s.%s" % (type(value).__module__, type(value).__qualname__)
        for name in names:
            base = next((base for base in type(value).__mro__ if name in vars(base) and self._is_own(base)), None)
            if name in own and self._is_own(type(value)):
                self._stack.append((own[name], "%s.%s" % (label, name), names, user, depth))
            elif base is not None:
                self._of_class(value, base, name, label, names, user, depth)

    def _of_class(self, value, base, name, label, names, user, depth):
        """What an object has by its class: a function runs with the object, anything else is followed in the application's."""
        found = vars(base)[name]
        if isinstance(found, property) or type(found).__name__ == "cached_property":  # Python's, Django's, Werkzeug's
            found = getattr(found, "fget", None) or getattr(found, "func", None)
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
        if isinstance(found, types.FunctionType):
            self._function(found, value, depth)
            self._returned(found, value, label, names, user, depth)
        elif self._is_own(base) and name in names:
            self._stack.append((found, "%s.%s" % (label, name), names, user, depth))

    def _returned(self, function, owner, label, names, user, depth):
        """What a function of the application's gives back, as far as it has a name: who calls it has that, too."""
        code = getattr(function, "__code__", None)
        if code is None or user is None or not (self.own(code.co_filename) and self.own(user.co_filename)):
            return
        kind = owner if isinstance(owner, type) else type(owner)
        holders = [{} if owner is None or isinstance(owner, type) else attributes(owner)]
        holders += [vars(base) for base in kind.__mro__ if owner is not None and self._is_own(base)] + [function.__globals__]
        for name, as_it_is in returned(code):
            holder = next((one for one in holders if name in one), {})
            whose = self._called(owner, function.__module__) if holder is not function.__globals__ else function.__module__
            if not isinstance(holder.get(name), PLAIN + (types.FunctionType, property, staticmethod, classmethod)):
                out_of = not as_it_is and isinstance(holder[name], CONTAINERS)
                for each in contents(holder[name]) if out_of else (holder[name],):
                    self._stack.append((each, "%s.%s" % (whose, name), names, user, depth))

    def _is_own(self, kind):
        return self.own(getattr(sys.modules.get(kind.__module__), "__file__", None) or "")

    def _handlers(self, logger, label, depth):
        """What a logger hands its records to, and those above it."""
        while logger is not None:
            for handler in list(logger.handlers):
                self._note(handler, "a handler of %s" % label, None)
                for name in OF_HANDLERS:
                    found = getattr(type(handler), name, None)
                    if isinstance(found, types.FunctionType):
                        self._function(found, handler, depth)
            logger = logger.parent if logger.propagate else None

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
            self._visit(owner, self._called(owner, "self of %s" % function.__qualname__), names, code, depth)

    def _called(self, value, otherwise):
        """The label of an object that was noted."""
        return self.objects[id(value)][0] if id(value) in self.objects else otherwise

    def _import(self, name, function, code, names, depth):
        package = function.__globals__.get("__package__") or ""
        for full in (name, ("%s.%s" % (package, name)).strip(".")):
            self.imports.setdefault(full, {})[id(code)] = code
            if full in sys.modules:
                self._stack.append((sys.modules[full], full, names, code, depth))


def whole(kind):
    return any((base.__module__ or "").startswith(WHOLE) for base in kind.__mro__[:-1])


def of_thread(kind):
    """Whether its own code runs in a thread: what such an object holds is looked at."""
    return any(base.__name__ in ("Thread", "Process") for base in kind.__mro__) and kind.__module__ not in ("threading",)


def hands_on(kind):
    """Whether it belongs to what keeps objects for others: values of a thread, or where records of a logger go."""
    return any((base.__module__, base.__name__) in HANDING for base in kind.__mro__)


def is_celerys(kind):
    """Celery's own objects, tasks among them: each task is looked at for itself."""
    return any((base.__module__ or "").partition(".")[0] in SILENT[:-1] for base in kind.__mro__[:-1])
