"""`harness why --bundle`: the answer and its plain evidence as an archive to send, with names, hosts and paths taken out."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import BadInput, CannotWrite
from harness.live import plain, screen
from harness.live.answer import Report
from harness.live.attach import Seen
from harness.live.redact import Names
from harness.live.waits import Stacks

#: what was seen of a worker, what is said of it, and native stacks by process
Looked = tuple[Seen, Report, Mapping[int, Stacks]]
MODE = 0o600  # of the archive, and of what is in it: evidence is for whom one gives it to
README = """What `harness why` saw of Celery workers, to be sent to somebody who helps.

answer.json      what was said: docs/reference/why.md tells its fields
versions.json    of the harness, py-spy, the kernel; by worker, of its Python and of Celery's libraries
processes/PID/   of each process: status, descriptors and epoll sets, threads (stat, wchan, syscall, schedstat, sched), and its
                 Python stacks; each at one moment, one after the other; native.txt, if --deep was given: the native stacks of
                 those that were at something

No environment variable, command line, local variable, argument of a task or message is in it.
"""
WITHOUT = """Names were taken out: {counts}. The same name has the same pseudonym everywhere. Frames of the
standard library and of installed packages are whole, but for those of the application's own package.
"""
WITH = "Names were kept, as --with-names asks for; passwords were not.\n"


def check(path: Path | None, *, with_names: bool) -> None:
    """Whether an archive can be written there, before anything is looked at. Raises BadInput, CannotWrite."""
    if path is None:
        if with_names:
            raise BadInput("--with-names tells what a bundle holds", remedy="give --bundle FILE, too")
        return
    if str(path) == "-":
        raise BadInput("--bundle needs a file: the answer goes to the standard output", remedy="try --bundle why.tar.gz")
    if os.path.lexists(path):
        raise BadInput(f"{path} is there already, and is not overwritten", remedy="name another file, or remove this one")
    if not path.parent.is_dir():
        raise CannotWrite(f"there is no folder {path.parent}", remedy="make it, or name another file with --bundle")
    if not os.access(path.parent, os.W_OK):
        raise CannotWrite(f"nothing can be written to {path.parent}", remedy="name a file elsewhere with --bundle")


def contents(found: Sequence[Looked], *, with_names: bool) -> dict[str, str]:
    """The files of the archive. Looks at the worker's processes once more: all that it tells is of now."""
    names = Names(keep=with_names)
    versions: dict[str, Any] = {}
    dumped = {seen.worker.main: plain.dumps(seen) for seen, _, _ in found}
    for seen, report, _ in found:
        names.learn(known(seen, report), packages=packages(report))
    natives = {pid: dump for _, _, each in found for pid, dump in each.items()}
    for pids in (*dumped.values(), natives):
        for dump in pids.values():
            names.learn_files(plain.files(dump))
    files: dict[str, str] = {}
    for seen, _, _ in found:
        main = seen.worker.main
        versions[str(main)] = plain.versions(main, dumped[main].get(main, ()))
        files |= plain.texts(seen, names)
    files |= {f"processes/{pid}/native.txt": plain.stack_text(dump, names) for pid, dump in natives.items()}
    files["answer.json"] = _json(names.value(screen.as_json([report for _, report, _ in found])))
    files["versions.json"] = _json(versions)
    counts = ", ".join(f"{count} x {kind}" for kind, count in sorted(names.counts.items())) or "there were none"
    files["README.txt"] = README + "\n" + (WITH if with_names else WITHOUT.format(counts=counts))
    return files


def known(seen: Seen, report: Report) -> dict[str, str]:
    """Names of the user's that the answer knows as what they are, with their kinds; the gravest kind last."""
    found = dict.fromkeys(report.broker.get("queues") or (), "queue")
    found |= {report.app: "app", report.app.partition(":")[0]: "app", seen.worker.app: "app"}
    for name in {report.hostname, seen.worker.hostname, os.uname().nodename}:
        found |= {name: "host", name.partition("@")[2]: "host"}
    found[str(report.broker.get("url", ""))] = "url"
    for name, number in [(one.task, one.task_id) for one in report.executors] + [(one.name, one.id) for one in seen.tasks]:
        found |= {name: "task", number: "id"}
    found.pop("", None)
    return found


def packages(report: Report) -> set[str]:
    """The application's own, by the names of its module and its tasks."""
    return {name.partition(":")[0].partition(".")[0] for name in (report.app, *(one.task for one in report.executors))}


def write(path: Path, found: Sequence[Looked], *, with_names: bool) -> None:
    """Make the archive. Raises CannotWrite; a file that came there meanwhile is not overwritten."""
    store(path, packed("why", contents(found, with_names=with_names)), option="--bundle")


def store(path: Path, data: bytes, *, option: str) -> None:
    """Write a new file that only its owner may read; `option` names another one. Raises BadInput, CannotWrite."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise BadInput(
            f"{path} is there already, and is not overwritten", remedy=f"move it, or name another file with {option}"
        ) from error
    except OSError as error:
        raise CannotWrite(
            f"{path} cannot be written: {error.strerror}", remedy=f"name a file elsewhere with {option}"
        ) from error


def packed(folder: str, files: Mapping[str, str]) -> bytes:
    """A .tar.gz of text files, in one folder; no user, group or file name of this machine's is in its headers."""
    data, now = io.BytesIO(), int(time.time())
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=data, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, text in sorted(files.items()):
            entry, body = tarfile.TarInfo(f"{folder}/{name}"), text.encode()
            entry.size, entry.mtime, entry.mode = len(body), now, MODE
            archive.addfile(entry, io.BytesIO(body))
    return data.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
