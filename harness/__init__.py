"""Which Celery pool and which Keras backend to serve a model with, and why: measured, not told.

This file is read by every interpreter (the driver's and each worker's, down to Python 3.7), so it imports nothing.
"""

__version__ = "0.1.0"


def __getattr__(name):  # type: ignore[no-untyped-def]
    """`harness.load(folder)`, see `harness.notebook`; imported when it is asked for, and by the driver's interpreter only."""
    if name == "load":
        from harness.notebook import load

        return load
    raise AttributeError(name)
