"""The keeper: a tiny process between the driver and one program, which lets nothing of that program survive.

Run as `python -I -S keeper.py OUTPUT ERRORS SCRATCH -- PROGRAM ARGS…` by `harness.machine.processes`; standard library only.
It is the program's parent and the *subreaper* of everything below it (prctl(2), PR_SET_CHILD_SUBREAPER), so that orphans
come back to it instead of escaping to init. It kills the whole tree when the program ends, and when its standard input
closes: that happens whatever way the driver dies, also by SIGKILL. Should the keeper itself be killed, the program gets
SIGKILL from the kernel (PR_SET_PDEATHSIG). The folder SCRATCH, unless '', goes with the tree if the driver is not there any
longer to remove it.

On standard output, one JSON line each: `{"pid": …}` once started, and at the end `{"exit": …, "cpu_s": …}` with the
program's wait status (as subprocess.Popen.returncode gives it) and the kernel's own CPU accounting of the whole tree
(getrusage(RUSAGE_CHILDREN): every process that was waited for, all of them by then).

Every program has one, the shortest helper too, so what is imported here is paid for again and again: `json`, and what
`signal` adds to its C module (enums), would take longer than all that the keeper does.
"""

import _signal as signal  # type: ignore[import-not-found]  # no typeshed knows it
import ctypes
import os
import resource
import select
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def parents() -> dict[int, int]:
    """pid -> parent's pid, of all processes that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue
    return found


def descendants(root: int) -> list[int]:
    """All pids below `root`, in no particular order."""
    table = parents()
    below: list[int] = []
    level = {root}
    while level:
        level = {pid for pid, parent in table.items() if parent in level}
        below += level
    return below


def start(output: str, errors: str, argv: list[str]) -> int:
    """Fork and run the program in a session of its own, what it prints appended to two files; its pid."""
    keeper = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:  # it died before we could ask to be told
            os._exit(127)
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(output, flags, 0o600), 1)
        os.dup2(os.open(errors, flags, 0o600), 2)
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error}\n".encode())
    os._exit(127)


def reap(main: int, status: int | None) -> int | None:
    """Wait for whatever has ended; the program's exit code once it is among them."""
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == main:
            status = os.waitstatus_to_exitcode(code)


def kill_all(main: int, status: int | None) -> int | None:
    """SIGKILL everything below, again and again until nothing is left: a dying tree may still fork. Whatever is below has a
    living ancestor among our own children, so without any of these there is nothing to look for."""
    while True:
        status = reap(main, status)
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return status
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def nothing(_number: int, _frame: object) -> None:
    """SIGCHLD only has to wake the poll below."""


def say(message: str) -> bool:
    """Whether the driver is there to hear it; what it asked for is done all the same."""
    try:
        os.write(1, f"{{{message}}}\n".encode())
    except OSError:
        return False
    return True


def remove(folder: str) -> None:
    """A folder and all that is in it."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def main(output: str, errors: str, scratch: str, argv: list[str]) -> None:
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    signal.signal(signal.SIGCHLD, nothing)
    program = start(output, errors, argv)
    say(f'"pid": {program}')
    status: int | None = None
    while status is None:
        readable, _, _ = select.select([0, read_end], [], [])
        if 0 in readable and not os.read(0, 4096):
            break
        if read_end in readable:
            os.read(read_end, 4096)
        status = reap(program, status)
    status = kill_all(program, status)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    heard = say(f'"exit": {"null" if status is None else status}, "cpu_s": {used.ru_utime + used.ru_stime}')
    if scratch and not heard:
        remove(scratch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[5:])
