"""What the atlas has of the engines that a process has loaded: told beside what is seen of it, never as seen of it."""

from __future__ import annotations

from harness.live import versions


def of_process(pid: int, pool: str) -> tuple[str, ...]:
    """A sentence for each engine of which the atlas has trials in this pool."""
    found = versions.loaded(pid)
    return tuple(line for folder, used in found.items() for line in of_folder(f"/proc/{pid}/root{folder}", used, pool))


def of_folder(folder: str, used: set[str], pool: str) -> tuple[str, ...]:
    """Likewise of the engines of a folder of packages, of which these are used, as they are imported."""
    from harness.atlas import answer, stored

    return answer.quoted(stored.shipped(), versions.in_folder(folder), pool, used)
