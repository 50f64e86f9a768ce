"""Find somebody's Celery application as `celery -A` does, with all its tasks registered."""

import importlib.util
import os
import sys

#: variables that `celery` itself reads as its options, and those that it sets by them (celery/bin/celery.py, 5.0 to 5.7)
COMMANDS = {"LOADER": "CELERY_LOADER", "CONFIG_MODULE": "CELERY_CONFIG_MODULE"}


def found(name):
    """The application. Whatever its import raises is raised here, too."""
    from celery.app.utils import find_app

    for ours, celerys in COMMANDS.items():
        if os.environ.get(ours):
            os.environ[celerys] = os.environ[ours]
    app = find_app(name)
    app.set_current()
    app.loader.import_default_modules()
    app.finalize()
    return app


def called(app, name):
    """The task of this name. Raises LookupError, with the names there are."""
    if name not in app.tasks:
        there = sorted(each for each in app.tasks if not each.startswith("celery."))
        raise LookupError("the application has no task %r; it has %s" % (name, ", ".join(there) or "none"))
    return app.tasks[name]


def arguments(row):
    """(args, kwargs) of a row: a list is positional, an object is by name, or both are said: {"args": [], "kwargs": {}}."""
    if isinstance(row, list):
        return row, {}
    if set(row) <= {"args", "kwargs"}:
        return row.get("args", []), row.get("kwargs", {})
    return [], row


def installed():
    """Every distribution that this interpreter sees, and its version."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        try:
            import importlib_metadata as metadata
        except ImportError:
            return {}
    found = ((each.metadata["Name"], each.version) for each in metadata.distributions())
    return {name.lower(): version for name, version in found if name}


def can_import(name):
    return name in sys.modules or importlib.util.find_spec(name) is not None
