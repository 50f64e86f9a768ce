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
    >>> of_one("they wait for other processes, none of which can go on")
    'it waits for other processes, none of which can go on'
    """
    return re.sub(r"(?<!not )(?<!lack )(?<!other )\b\w+", lambda word: ONE.get(word[0], word[0]), said)


def put_off(said: str, count: int) -> str:
    """What the tasks of so many requests have done, of their words (`observe.progress.PUT_OFF`).

    >>> put_off("put off by a retry", 2), put_off("put back by their own task", 1)
    ('2 requests were put off by a retry', '1 request was put back by its own task')
    """
    return f"{count} requests were {said}" if count > 1 else f"1 request was {said.replace('their', 'its')}"


def often(counts: Sequence[int]) -> str:
    """How often, of the counts of each request, the fewest first.

    >>> often([1]), often([7, 7]), often([12, 40])
    ('once', '7 times each', '12 to 40 times each')
    """
    if counts[-1] == 1:
        return "once" + (" each" if len(counts) > 1 else "")
    each = " each" if len(counts) > 1 else ""
    return (f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}") + f" times{each}"
