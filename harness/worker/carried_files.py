"""What tasks reach of files, of pipes and of databases that were opened before the fork: a child has the same place in them.

Told from a reach (`reached.Reach`). Python 3.7, standard library only.
"""

import os

from harness.worker import codes, own_process
from harness.worker.shared_objects import place

SQLITE = ("sqlite3", "sqlite3.dbapi2", "pysqlite2.dbapi2")
FILES = ("_io", "io")
READING = frozenset(("read", "read1", "readline", "readlines", "readinto", "seek"))
AT_A_PLACE = frozenset(("pread", "preadv", "mmap", "sendfile"))  # these say themselves where they read


def databases(tasks):
    """[[label, places of who names it]] of the connections of SQLite that tasks reach."""
    return [
        [label, [place(code) for code in users.values()]]
        for label, value, users in tasks.objects.values()
        if users and any(base.__module__ in SQLITE and base.__name__ == "Connection" for base in type(value).__mro__)
    ]


def files(tasks):
    """[[label, path, places of who names it]] of files that tasks reach, and that are open for reading; 'pipe:[…]' of a pipe
    that another process writes into, such as a program's output. Processes that were forked read on where the last one stopped,
    each (fork(2), open file descriptions)."""
    found = []
    for label, value, users in tasks.objects.values():
        if type(value).__module__ not in FILES:
            continue
        readers = [code for code in users.values() if reads(codes.words(code)[0], tasks.own(code.co_filename))]
        readers = [code for code in readers if tasks.own(code.co_filename)] or readers
        try:
            number = value.fileno() if readers and value.readable() else -1
            where = os.readlink("/proc/self/fd/%d" % number) if number >= 0 and not own_process.has_other_end(number) else ""
        except (OSError, ValueError, AttributeError):  # it is closed, or no file of the kernel's
            continue
        if where:
            found.append([label, where, [place(code) for code in readers]])
    return found


def reads(names, own):
    """Whether code with these names, one of which is the file, reads from the file's own place, as far as that can be told: the
    application's own may hand it on to who does."""
    return bool(READING & names) or (own and not AT_A_PLACE & names)
