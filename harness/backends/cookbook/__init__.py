"""One cookbook per backend: what a cell's choices mean as code to paste.

A module here is named after its backend and holds a class `Cookbook`, whose base in `book` says what it may fill in:

    book = cookbook.of("tensorflow1")
    book.model_file                                           # the file that its library reads
    book.variables(intra, inter)                              # of the worker's environment
    book.load("graph", path="'model.h5'", intra=1, inter=1)   # the text of `load()`
    book.place("graph", "first-task")                         # who calls it, and when
    book.task("graph", "first-task")                          # the task that asks the model

`placements` holds the places to load a model, which are the same for every backend. `harness recommend` prints these parts
(`decide.advise.settings`), `harness bundle` puts them into a program that runs (`applications.reproducer.application`), so what
is advised is what is tried. Nothing here imports an ML library or runs what it writes: how a worker of ours really serves a
cell stands in the backend's own module, and `tests/test_cookbook.py` holds the calls of the two to each other. Standard library
and Python 3.7 only, like everything in `harness.backends`.
"""

import importlib

from harness.backends.cookbook.book import Cookbook


def of(backend: str) -> Cookbook:
    """The cookbook of the backend called so. Raises ModuleNotFoundError if it has none."""
    book: Cookbook = importlib.import_module("harness.backends.cookbook." + backend).Cookbook()
    return book
