"""What the kernel says of this very process, and of a child of it: threads, descriptors, memory. Only /proc is read.

A native thread has no name of its own in most libraries, so it is told by whose code stands on its stack. Python 3.7, standard
library only.
"""

import os
import re
import socket
import struct
import sys
import threading

TID_AT = 720  # bytes in glibc's struct pthread on x86-64, see `harness.machine.native_ids`
DEEPEST = 1 << 16  # bytes of a stack that are read, from its top
TRIES = 5  # a thread that runs has no stack to be read
SYSTEM = re.compile(r"/(ld-linux|ld-|libc[.-]|libpthread|libm[.-]|libstdc\+\+|libgcc_s|libdl|librt|libpython|python3?[.\d]*$)")
STATES = {"01": "established", "0A": "listening"}
MEMORY = ("Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty")


def text(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def tids(pid):
    try:
        return sorted(int(name) for name in os.listdir("/proc/%s/task" % pid))
    except OSError:
        return []


def stat(pid):
    """(its state, as 'S' of one that sleeps; CPU seconds that it and children which it has waited for have used) of a process;
    ('', 0.0) if there is none."""
    fields = text("/proc/%s/stat" % pid).rpartition(")")[2].split()
    return (fields[0], sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")) if fields else ("", 0.0)


def python_tids():
    """{kernel's id: Python's ident} of the threads that run Python here."""
    known = {getattr(each, "native_id", None): each.ident for each in threading.enumerate()}
    found = {tid: ident for tid, ident in known.items() if tid}
    there = set(tids("self"))
    for ident in sys._current_frames():
        if ident not in found.values():
            words = _memory(ident + TID_AT, 4)
            tid = struct.unpack("=I", words)[0] if words else 0
            if tid in there:
                found[tid] = ident
    return found


def native_threads():
    """[{tid, name, library}] of those that run no Python; the library is '' if it cannot be told."""
    known, maps = python_tids(), _maps()
    return [
        {"tid": tid, "name": text("/proc/self/task/%d/comm" % tid).strip(), "library": _library(tid, maps)}
        for tid in tids("self")
        if tid not in known and tid != os.getpid()
    ]


def _library(tid, maps):
    """The file, no part of the system's own, that has most return addresses on the thread's stack."""
    counts = {}
    for _ in range(TRIES):
        fields = text("/proc/self/task/%d/syscall" % tid).split()
        if len(fields) < 3:
            continue
        begin = int(fields[-2], 16)
        end = next((high for low, high, _, _ in maps if low <= begin < high), begin)
        words = _memory(begin & ~7, (min(end, begin + DEEPEST) - begin) & ~7)
        for (word,) in struct.iter_unpack("=Q", words):
            file = next((name for low, high, runs, name in maps if runs and low <= word < high), "")
            if file.startswith("/") and not SYSTEM.search(file):
                counts[file] = counts.get(file, 0) + 1
        if counts:
            break
    return max(counts, key=counts.get) if counts else ""


def _maps():
    """[(begin, end, whether code, file)]."""
    found = []
    for line in text("/proc/self/maps").splitlines():
        fields = line.split(None, 5)
        begin, _, end = fields[0].partition("-")
        found.append((int(begin, 16), int(end, 16), "x" in fields[1], fields[5] if len(fields) > 5 else ""))
    return found


def libraries():
    """The files of installed packages' code that are mapped here, and of the libraries that they share."""
    files = {name for _, _, runs, name in _maps() if runs and name.startswith("/")}
    return sorted(name for name in files if "/lib-dynload/" not in name and not SYSTEM.search(name))


def _memory(place, size):
    try:
        with open("/proc/self/mem", "rb", buffering=0) as file:
            file.seek(place)
            return file.read(size) or b""
    except (OSError, ValueError, OverflowError):
        return b""


def memory(pid):
    """Bytes, of `smaps_rollup`; {} where the kernel has none."""
    found = {}
    for line in text("/proc/%s/smaps_rollup" % pid).splitlines():
        name, _, rest = line.partition(":")
        if name in MEMORY:
            found[name] = int(rest.split()[0]) * 1024
    return found


def descriptors(pid):
    """{number: where it leads} of a process."""
    found = {}
    try:
        numbers = os.listdir("/proc/%s/fd" % pid)
    except OSError:
        return found
    for number in numbers:
        try:
            found[int(number)] = os.readlink("/proc/%s/fd/%s" % (pid, number))
        except OSError:
            continue
    return found


def has_other_end(number):
    """Whether this process has another descriptor of the pipe that a descriptor leads to."""
    found = descriptors("self")
    where = found.pop(number, "")
    return where.startswith("pipe:") and where in found.values()


def peers():
    """{'socket:[inode]': [kind, peer, state]} of this process's network."""
    found = {}
    for kind in ("tcp", "tcp6"):
        for line in text("/proc/self/net/" + kind).splitlines()[1:]:
            fields = line.split()
            found["socket:[%s]" % fields[9]] = ["TCP", _address(fields[2]), STATES.get(fields[3], "other")]
    for line in text("/proc/self/net/unix").splitlines()[1:]:
        fields = line.split()
        state = "established" if fields[5] == "03" and len(fields) > 6 else "other"
        found["socket:[%s]" % fields[6]] = ["UNIX", fields[7] if len(fields) > 7 else "", state]
    return found


def _address(text):
    """'127.0.0.1:6379' of the kernel's hexadecimal."""
    host, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(host[at : at + 8], 16)) for at in range(0, len(host), 8))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return "%s:%d" % (socket.inet_ntop(family, raw), int(port, 16))
