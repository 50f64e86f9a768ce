"""What is told of an exception of somebody's application: what it is, and where in their own code it was raised."""

import linecache
import os
import re
import traceback

#: code that raises and exits for others: Python's own, and ours
NOT_THEIRS = tuple(os.path.realpath(each) for each in (os.path.dirname(os.__file__), os.path.dirname(__file__)))
INSTALLED = re.compile(r"/(site|dist)-packages/|^<").search
VARIABLE = re.compile(r"\b(?:environ|getenv)\b\W+(?:get\W+)?[\"'](\w+)[\"']")
UNSET = "which reads %s, a variable that is not set"


def place(error):
    """(file, line) of the innermost call that is neither Python's, nor ours, nor installed; None without one."""
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [one for one in places if not os.path.realpath(one[0]).startswith(NOT_THEIRS) and not INSTALLED(one[0])]
    return own[-1] if own else None


def at(error):
    """', at shop/settings.py:12', or ''."""
    found = place(error)
    return ", at %s:%d" % (os.path.relpath(found[0]), found[1]) if found else ""


def told(error):
    """ "KeyError: 'DSN', at shop/settings.py:12, which reads DSN, a variable that is not set"."""
    error = _unmasked(error)
    said = "%s: %s" % (type(error).__name__, error)
    if isinstance(error, ImportError) or type(error) is LookupError:
        return said  # it names what is missing
    unset = [name for name in _read(error) if name not in os.environ]
    return ", ".join([said + at(error)] + [UNSET % name for name in unset[:1]])


def _unmasked(error):
    """Celery raises an AttributeError of the settings again, as ModuleNotFoundError (celery/app/base.py); of one that an import
    raises it looks for a module instead, and says that there is none (celery/app/utils.py).
    """
    inner = error.__cause__ or error.__context__
    masked = isinstance(error, ImportError) and isinstance(inner, AttributeError)
    return inner if masked and (inner.args == error.args or place(inner)) else error


def _read(error):
    """Names of the variables that the line reads."""
    found = place(error)
    return VARIABLE.findall(linecache.getline(*found)) if found else []
