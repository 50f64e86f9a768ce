"""Where a process's descriptors lead, and at which of them a call waits: read from /proc, nothing is asked of the process.

Sources: proc(5); the kernel's Documentation/networking/proc_net_tcp.rst and Documentation/filesystems/proc.rst (fdinfo);
poll(2), select(2), epoll_ctl(2) for what lies in memory. What may not be read is left out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from harness.machine import procfs, socket_limits, sockets, unix_pairs
from harness.machine.syscalls import Call
from harness.texts import few

POLL_ENTRY = struct.Struct("=ihh")  # struct pollfd: descriptor, events asked for, events there
MOST = 64  # descriptors of one call that are looked at
SELECTS = 1024  # FD_SETSIZE of select(2)
LIMITED = ("read", "recv", "write", "send")  # which a limit of the socket's own ends
SCM_FDS = re.compile(r"^scm_fds:\s*(\d+)", re.MULTILINE)
WRITES = 1  # the lowest bits of a descriptor's flags (fcntl.h): 0 reads, 1 writes, 2 both


def waited_at(pid: int, call: Call, most: int = MOST) -> list[int]:
    """The descriptors at which this call of a thread of the process waits, not more than `most`; [] if it waits at none."""
    first, second = call.arguments[0], call.arguments[1]
    if call.kind in ("read", "recv", "accept", "write", "send", "connect", "flock", "fcntl"):
        return [first]
    if call.kind == "epoll":
        told = procfs.read(f"/proc/{pid}/fdinfo/{first}") or ""
        return [int(number) for number in re.findall(r"^tfd:\s*(\d+)", told, re.MULTILINE)][:most]
    if call.kind == "poll":
        size = POLL_ENTRY.size * min(second, most)
        entries = POLL_ENTRY.iter_unpack(procfs.memory(pid, first, size))
        return [descriptor for descriptor, _, _ in entries if descriptor >= 0]
    if call.kind == "select":
        many = min(first, SELECTS)
        sets = [procfs.memory(pid, place, (many + 7) // 8) for place in call.arguments[1:4] if place]
        return [number for number in range(many) if any(one[number // 8] >> number % 8 & 1 for one in sets if one)]
    return []


def leads_to(pid: int, descriptor: int) -> str:
    """What is at the other end of a descriptor, in words; '' if nothing can be read.

    'TCP 127.0.0.1:6379 (established, process 12 valkey-server)', 'a pipe from process 7 python', '/var/lock/model.lock'.
    """
    target = link_of(pid, descriptor)
    kind, _, rest = target.partition(":[")
    inode = int(rest[:-1]) if rest[:-1].isdigit() else 0
    if kind == "socket":
        return _socket_in_words(pid, descriptor, inode)
    if kind == "pipe":
        return _pipe_in_words(pid, descriptor, target)
    if target.startswith("anon_inode:"):
        name = target.partition(":")[2].strip("[]")
        return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
    return target


def holders_of(pid: int, call: Call) -> frozenset[int]:
    """The processes that have either end of all the pipes and pairs of sockets that this call waits at: nobody else could write
    to them, or read from them. None if it waits at anything else, too, if a limit of the socket itself will end the wait, if
    nobody whom we may look at has the other end of one (the wait itself says that somebody has: it would have ended), and while
    a descriptor is on its way through a socket of anybody's (SCM_RIGHTS), for it may be one of these.
    """
    at = waited_at(pid, call, MOST + 1)
    targets = [link_of(pid, descriptor) for descriptor in at]
    sockets_too = any(target.startswith("socket:") for target in targets)
    pairs = unix_pairs.peers() if sockets_too else {}
    ends = [_other_end(target, pairs) for target in targets]
    if not ends or not all(ends) or len(at) > MOST or not _registered(pid, call, targets):
        return frozenset()
    if sockets_too and call.kind in LIMITED and not socket_limits.none(pid, at[0]):
        return frozenset()
    held = list(_holders({*targets, *ends}))
    seen = all(_seen(pid, *one, held) for one in zip(at, targets, ends, strict=True))
    return frozenset(holder for holder, _ in held) if seen and not in_flight() else frozenset()


def _seen(pid: int, descriptor: int, target: str, end: str, held: Iterable[tuple[int, int]]) -> bool:
    """Whether anybody we may look at has the other end: if not, somebody hidden has it, or the call would have ended."""
    there = [(holder, number) for holder, number in held if link_of(holder, number) == end]
    if end != target:
        return bool(there)
    needed = {0: (1, 2), WRITES: (0, 2)}.get(_flags(pid, descriptor) & 3, (0, 1, 2))
    return any(_flags(holder, number) & 3 in needed for holder, number in there)


def inherited(parent: int, children: Iterable[int]) -> list[str]:
    """The TCP connections that a process shares with children of its, 'TCP 127.0.0.1:6379': all of them read from one stream,
    so that each may take the answer to another's question."""
    shared = socket_inodes(parent) & {inode for child in children for inode in socket_inodes(child)}
    known = sockets.tcp(parent) if shared else []
    return sorted({f"TCP {sockets.shown(one.remote)}" for one in known if one.inode in shared and one.state != "listening"})


def socket_inodes(pid: int) -> set[int]:
    """Of the sockets that a process has open."""
    targets = (link_of(pid, descriptor) for descriptor in procfs.numbers(f"/proc/{pid}/fd"))
    return {_inode(target) for target in targets if target.startswith("socket:[")}


def _inode(target: str) -> int:
    """Of 'socket:[7]' or 'pipe:[7]'; 0 for anything else."""
    kind, _, rest = target.partition(":[")
    return int(rest[:-1]) if kind in ("socket", "pipe") and rest[:-1].isdigit() else 0


def _registered(pid: int, call: Call, targets: Sequence[str]) -> bool:
    """Whether the numbers in an epoll's list still lead where they led when they were registered."""
    if call.kind != "epoll":
        return True
    told = procfs.read(f"/proc/{pid}/fdinfo/{call.arguments[0]}") or ""
    inodes = [int(inode, 16) for inode in re.findall(r"^tfd:.*?\bino:([0-9a-f]+)", told, re.MULTILINE)]
    return inodes == [_inode(target) for target in targets]


def in_flight() -> bool:
    """Whether any socket holds descriptors that nobody has taken yet (`scm_fds` of fdinfo; older kernels do not tell)."""
    for pid in procfs.numbers("/proc"):
        for descriptor in procfs.numbers(f"/proc/{pid}/fd"):
            if link_of(pid, descriptor).startswith("socket:"):
                found = SCM_FDS.search(procfs.read(f"/proc/{pid}/fdinfo/{descriptor}") or "")
                if found and found[1] != "0":
                    return True
    return False


def link_of(pid: int, descriptor: int) -> str:
    """What a descriptor leads to: 'pipe:[7]', 'socket:[8]', a path; '' if it cannot be told."""
    return procfs.link(f"/proc/{pid}/fd/{descriptor}")


def _other_end(target: str, pairs: Mapping[int, int]) -> str:
    """Both ends of a pipe have one name; '' if the other end is not known."""
    kind, _, rest = target.partition(":[")
    if kind == "pipe":
        return target
    peer = pairs.get(int(rest[:-1]), 0) if kind == "socket" and rest[:-1].isdigit() else 0
    return f"socket:[{peer}]" if peer else ""


def named(pid: int) -> str:
    """'process 12 valkey-server'."""
    return f"process {pid} {(procfs.read(f'/proc/{pid}/comm') or '?').strip()}"


def _socket_in_words(pid: int, descriptor: int, inode: int) -> str:
    known = sockets.tcp(pid)
    one = next((each for each in known if each.inode == inode), None)
    if one is None:
        return sockets.other_in_words(pid, descriptor, inode)
    if one.state == "listening":
        return f"connections to TCP {sockets.shown(one.local)}"
    peer = next((each.inode for each in known if (each.local, each.remote) == (one.remote, one.local)), 0)
    owner = next(_holders({f"socket:[{peer}]"}), None) if peer else None
    return f"TCP {sockets.shown(one.remote)} ({one.state}{f', {named(owner[0])}' if owner else ''})"


def _pipe_in_words(pid: int, descriptor: int, target: str) -> str:
    """Who has the other end: whoever may write, if this one reads."""
    writes = _flags(pid, descriptor) & 3 == WRITES
    others = {holder for holder, number in _holders({target}) if (_flags(holder, number) & 3 == WRITES) != writes}
    way = "to" if writes else "from"
    if others - {pid}:
        return f"a pipe {way} {', '.join(named(one) for one in sorted(others - {pid})[:3])}"
    return f"a pipe {way} itself" if others else "a pipe whose other end nobody has open that we may look at"


def _flags(pid: int, descriptor: int) -> int:
    found = re.search(r"^flags:\s*([0-7]+)", procfs.read(f"/proc/{pid}/fdinfo/{descriptor}") or "", re.MULTILINE)
    return int(found[1], 8) if found else 0


def _holders(targets: Collection[str]) -> Iterator[tuple[int, int]]:
    """(process, descriptor) of all that have one of these open, as far as they may be looked at."""
    for pid in procfs.numbers("/proc"):
        for descriptor in procfs.numbers(f"/proc/{pid}/fd"):
            if link_of(pid, descriptor) in targets:
                yield pid, descriptor


def words(parts: Iterable[str]) -> str:
    """'a, b and 3 more': each once, and those that say something."""
    return few(list(dict.fromkeys(part for part in parts if part)))
