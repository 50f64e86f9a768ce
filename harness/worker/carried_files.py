"""What tasks reach of files, of pipes and of databases that were opened before the fork: a child has the same place in them.

Told from a reach (`reached.Reach`). Python 3.7, standard library only.
"""

import os
import sys

from harness.worker import codes, own_process, polled
from harness.worker.shared_objects import place

SQLITE = ("sqlite3", "sqlite3.dbapi2", "pysqlite2.dbapi2")
FILES = ("_io", "io")
CHANNELS = frozenset(("Queue", "SimpleQueue", "JoinableQueue"))
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
        own = [code for code in readers if tasks.own(code.co_filename)]
        readers = own or (readers and (by_way_of(tasks, label) or readers))
        try:
            number = value.fileno() if readers and value.readable() else -1
            where = os.readlink("/proc/self/fd/%d" % number) if number >= 0 and not own_process.has_other_end(number) else ""
        except (OSError, ValueError, AttributeError):  # it is closed, or no file of the kernel's
            continue
        if where:
            found.append([label, where, [place(code) for code in readers]])
    return found


def paths(tasks):
    """[[label, places of who names it]] of texts, paths and temporary files or folders of a module that tasks name: what is
    made as a name for this process's own files is the name of all its children's. None that a function sets anew."""
    found, known = {}, polled.functions(tasks.own)
    anew = set((names.get("__name__"), name) for code, names in known for name in codes.module_names(code))
    anew.update(
        (each.__name__, name) for code, names in known for each in polled.modules_of(code, names) for name in codes.sets(code)
    )
    bound = {id(code): names for code, names in known}
    for number, code in tasks.functions.items():
        names = bound.get(number, {})
        for name in codes.words(code)[0].intersection(names):
            is_path = isinstance(names[name], (str, os.PathLike)) or type(names[name]).__module__ == "tempfile"
            if is_path and (names.get("__name__"), name) not in anew:
                found.setdefault("%s.%s" % (names.get("__name__"), name), []).append(place(code))
    return [[label, users] for label, users in sorted(found.items())]


def channels(tasks):
    """[[label, kind, places of who names it]] of the queues and pipes of multiprocessing that tasks reach."""
    found = []
    for label, value, users in tasks.objects.values():
        names = [base.__name__ for base in type(value).__mro__ if (base.__module__ or "").startswith("multiprocessing.")]
        kind = "pipe" if "_ConnectionBase" in names else "queue" if CHANNELS.intersection(names) else ""
        if kind and users:
            found.append([label, kind, [place(code) for code in users.values()]])
    return found


def by_way_of(tasks, label):
    """The application's own codes that name what a label leads through: those of `shop.TABLE`, if its library reads
    `shop.TABLE.zip.fp`."""
    found = [
        [code for code in users.values() if tasks.own(code.co_filename)]
        for name, _, users in tasks.objects.values()
        if label.startswith(name + ".")
    ]
    return next(filter(None, found), [])


def locked(tasks):
    """[[label, path, places of who locks it]] of files that are open, and that tasks lock by `flock`: that lock is the open
    file's, which processes that were forked share (flock(2)). `lockf` locks for a process, and is none of these."""
    own = [code for code in tasks.functions.values() if tasks.own(code.co_filename)]
    locking = set(code.co_name for code in own if "flock" in codes.words(code)[0])
    found = []
    for label, value, users in tasks.objects.values():
        lockers = [code for code in users.values() if tasks.own(code.co_filename) and locks(code, locking)]
        if type(value).__module__ in FILES and lockers:
            found.append([label, leads(value), [place(code) for code in lockers]])
    for code in own:  # a descriptor is a number, which is no object of its own
        for module in list(sys.modules.values()) if "flock" in codes.words(code)[0] else ():
            if getattr(module, "__file__", None) == code.co_filename:
                numbers = [(name, vars(module).get(name)) for name in sorted(codes.words(code)[0])]
                found += [["%s.%s" % (module.__name__, name), leads(number), [place(code)]]
                          for name, number in numbers if type(number) is int and number > 2]  # fmt: skip
    return [each for each in found if each[1].startswith("/")]


def locks(code, locking):
    """Whether a code locks by `flock`, or calls one of these functions, which do."""
    return bool(codes.words(code)[0] & locking.union(("flock",)))


def leads(file):
    """The path of an open file, or of a descriptor; '' if it has none."""
    try:
        return os.readlink("/proc/self/fd/%d" % (file if isinstance(file, int) else file.fileno()))
    except (OSError, ValueError, AttributeError):
        return ""


def reads(names, own):
    """Whether code with these names, one of which is the file, reads from the file's own place, as far as that can be told: the
    application's own may hand it on to who does."""
    return bool(READING & names) or (own and not AT_A_PLACE & names)
