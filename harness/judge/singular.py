"""The words of a proof (`blocked.How`), which are said of several, said of one."""

from __future__ import annotations

import re

ONE = {
    "processes": "process", "threads": "thread", "greenlets": "greenlet", "hang": "hangs", "they": "it", "wait": "waits",
    "have": "has", "are": "is", "compute": "computes", "lack": "lacks", "theirs": "its own", "their": "its",
}  # fmt: skip


def of_one(said: str) -> str:
    """What is said of several, said of one.

    >>> of_one("they wait for locks of theirs")
    'it waits for locks of its own'
    >>> of_one("they lack threads that their parent has")
    'it lacks threads that its parent has'
    """
    return re.sub(r"(?<!not )(?<!lack )\b\w+", lambda word: ONE.get(word[0], word[0]), said)
