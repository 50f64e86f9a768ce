"""Words of others (exceptions, log lines, model names) made safe to show: control characters become what they are.

An escape sequence would act on a terminal, and marks of direction would hide or reorder what stands beside them on a page.
Used where a record is made or read, and where a page is written.
"""

from __future__ import annotations

import re

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # all but tab and newline


def visible(text: str) -> str:
    r"""The text with control characters written out.

    >>> visible("\x1b[31mred") == r"\x1b[31mred"
    True
    """
    return text if text.isprintable() else CONTROLS.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)
