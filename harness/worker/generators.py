"""Generators of random numbers that tasks reach, and that a fork copies: each child draws the same numbers from its copy.

Told from a reach (`reached.Reach`). Python's own generator begins anew after a fork (random.py, `register_at_fork`), NumPy's
does not. Python 3.7, standard library only.
"""

import dis
import random
import sys
import types

from harness.worker import codes
from harness.worker.shared_objects import place

NUMPY = ("RandomState", "Generator")
LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD")
SEEDING = frozenset(("seed", "set_state", "setstate"))


def copied(tasks, first):
    """[[label, places of the application's own that name it]]; `first`: the reach of what each new child runs first, which may
    seed them. None of those whose users seed them."""
    if any(SEEDING & codes.words(code)[0] for code in first.functions.values()):
        return []
    found = {}
    for label, value, users in tasks.objects.values():
        own = [code for code in users.values() if tasks.own(code.co_filename)]
        if value is not owner(value):
            own = [code for code in own if asks(code, getattr(value, "__name__", ""))]
        if own and is_generator(owner(value)) and not any(SEEDING & codes.words(code)[0] for code in own):
            known = found.setdefault(id(owner(value)), ["", {}])
            known[0] = label if value is owner(value) else known[0] or named(owner(value), label)
            known[1].update((id(code), code) for code in own)
    return [[label, [place(code) for code in users.values()]] for label, users in found.values()]


def named(generator, label):
    """NumPy's own has no name but its module's; another one that of the method by which it is reached."""
    numpys = getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)
    return "numpy.random" if generator is numpys else label


def asks(code, name):
    """Whether a code asks a module of random numbers for this function, `numpy.random.uniform`: that of another object, such as
    `default_rng(seed).uniform`, may have the same name."""
    for one in codes.nested(code):
        before = None
        for each in dis.get_instructions(one):
            if each.argval == name and each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                return True
            if each.argval == name and each.opname in ("LOAD_ATTR", "LOAD_METHOD") and before is not None:
                if before.opname in LOADS and (before.argval == "random" or is_random(code, before.argval)):
                    return True
            before = each
    return False


def is_random(code, name):
    """Whether that is NumPy's module in the module of a code: `from numpy import random as dice`."""
    modules = [module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == code.co_filename]
    return any(getattr(vars(module).get(name), "__name__", "") == "numpy.random" for module in modules)


def owner(value):
    """The object whose method it is, as `numpy.random.random` is one of NumPy's generator; else the value itself."""
    if isinstance(value, (types.BuiltinMethodType, types.MethodType)):
        return value.__self__
    return value


def is_generator(value):
    """Whether it draws from a state of its own."""
    if isinstance(value, random.Random):
        return not isinstance(value, random.SystemRandom) and value is not random._inst
    return any((base.__module__ or "").startswith("numpy.random") and base.__name__ in NUMPY for base in type(value).__mro__)
