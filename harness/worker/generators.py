"""Generators of random numbers that tasks reach, and that a fork copies: each child draws the same numbers from its copy.

Told from a reach (`reached.Reach`). Python's own generator begins anew after a fork (random.py, `register_at_fork`), NumPy's
does not. Python 3.7, standard library only.
"""

import random
import types

from harness.worker import codes
from harness.worker.shared_objects import place

NUMPY = ("RandomState", "Generator")
SEEDING = frozenset(("seed", "set_state", "setstate"))


def copied(tasks, first):
    """[[label, places of the application's own that name it]]; `first`: the reach of what each new child runs first, which may
    seed them. None of those whose users seed them."""
    if any(SEEDING & codes.words(code)[0] for code in first.functions.values()):
        return []
    found = {}
    for label, value, users in tasks.objects.values():
        own = [code for code in users.values() if tasks.own(code.co_filename)]
        if own and is_generator(owner(value)) and not any(SEEDING & codes.words(code)[0] for code in own):
            known = found.setdefault(id(owner(value)), ["", {}])
            known[0] = label if value is owner(value) else known[0] or label.rpartition(".")[0] or label
            known[1].update((id(code), code) for code in own)
    return [[label, [place(code) for code in users.values()]] for label, users in found.values()]


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
