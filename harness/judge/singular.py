"""The words of a proof (`blocked.How`), which are said of several, said of one."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def put_off(counts: Sequence[int]) -> str:
    """How often requests were put off, of their counts, the fewest first.

    >>> put_off([1]), put_off([12, 40])
    ('1 request was put off by a retry, 1 time', '2 requests were put off by a retry, 12 to 40 times each')
    """
    many = "1 request was" if len(counts) == 1 else f"{len(counts)} requests were"
    times = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    each = " each" if len(counts) > 1 else ""
    return f"{many} put off by a retry, {times} time{'' if counts[-1] == 1 else 's'}{each}"
