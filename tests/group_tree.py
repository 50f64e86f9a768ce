"""A folder that looks like what the kernel shows of control groups: /sys/fs/cgroup, with /proc/self beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PID = 4242


@dataclass(frozen=True)
class GroupTree:
    """`proc` stands for /proc/self, `groups` for /sys/fs/cgroup."""

    base: Path

    @property
    def proc(self) -> Path:
        return self.base / "proc"

    @property
    def groups(self) -> Path:
        return self.base / "fs"

    def stands(self, *places: str) -> GroupTree:
        """The lines of /proc/self/cgroup, such as '0::/a/b' or '4:cpu,cpuacct:/a'."""
        self.proc.mkdir(parents=True, exist_ok=True)
        (self.proc / "cgroup").write_text("".join(f"{place}\n" for place in places))
        (self.proc / "stat").write_text(f"{PID} (python) S 1 1\n")
        return self

    def mounts(self, *mounts: tuple[str, str, str]) -> GroupTree:
        """(root, point below `groups`, options) of each mount; of version 2 if the options begin with 'cgroup2'."""
        lines = ["22 1 0:20 / /proc rw,nosuid - proc proc rw"]
        for root, point, options in mounts:
            kind, _, rest = options.partition(" ")
            place = str(self.groups / point).replace(" ", "\\040")
            lines.append(f"33 31 0:29 {root} {place} rw,relatime shared:9 - {kind} {kind} {rest}")
        (self.proc / "mountinfo").write_text("\n".join(lines) + "\n")
        return self

    def group(self, path: str, **files: str) -> GroupTree:
        """A group's folder with these files; '__' in a name stands for a dot, as in cpu__max."""
        folder = self.groups / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text + "\n")
        return self

    def unified(self, path: str = "/") -> GroupTree:
        """Version 2 alone, mounted at `groups`; we stand at this path."""
        return self.stands(f"0::{path}").mounts(("/", ".", "cgroup2 rw,nsdelegate"))

    def classic(self, path: str = "/") -> GroupTree:
        """Version 1, with cpu and memory in hierarchies of their own; we stand at this path in both."""
        self.stands(f"5:memory:{path}", f"4:cpu,cpuacct:{path}", "1:name=systemd:/")
        return self.mounts(
            ("/", "cpu,cpuacct", "cgroup rw,cpu,cpuacct"),
            ("/", "memory", "cgroup rw,memory"),
            ("/", "cpuset", "cgroup rw,cpuset"),
        )
