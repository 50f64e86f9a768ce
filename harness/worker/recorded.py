"""Who starts threads, and who asks to be told of a fork, while an application is imported: remembered, and passed on.

Installed before the first line of the application runs. Python 3.7, standard library only.
"""

import os
import sys
import threading

MOST_FRAMES = 40
STARTED = []  # (thread, stack)
AT_FORK = []  # (when, what, where)


def install():
    """Wrap `Thread.start` and `os.register_at_fork`; both do what they did."""
    begin, register = threading.Thread.start, os.register_at_fork

    def start(self):
        STARTED.append((self, stack(sys._getframe(1))))
        return begin(self)

    def register_at_fork(**handlers):
        place = (stack(sys._getframe(1)) or [None])[0]
        for when, handler in handlers.items():
            AT_FORK.append((when, getattr(handler, "__qualname__", repr(type(handler))), place))
        return register(**handlers)

    threading.Thread.start = start
    os.register_at_fork = register_at_fork


def stack(frame):
    """[file, line, function] of these frames, innermost first, without the machinery of imports and of threads."""
    found = []
    while frame is not None and len(found) < MOST_FRAMES:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen") and file not in (threading.__file__, __file__):
            found.append([file, frame.f_lineno, frame.f_code.co_name])
        frame = frame.f_back
    return found
