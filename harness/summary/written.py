"""The table of cells as text: CSV with six significant digits. No figure here is known better; the records keep all digits."""

from __future__ import annotations

from typing import Any

import pandas as pd

DIGITS = 6


def csv(table: pd.DataFrame) -> str:
    """The table as CSV, without its index.

    >>> csv(pd.DataFrame({"ready_s": [2.2459158230003595, None], "peak_pss_bytes": [526951424.0, 58.0]}))
    'ready_s,peak_pss_bytes\\n2.24592,526951424\\n,58\\n'
    """
    return str(table.to_csv(index=False, float_format=number))


def number(value: Any) -> str:
    """Six digits, but all of those before the point.

    >>> number(0.00012448549), number(1234567.8), number(-58.0)
    ('0.000124485', '1234568', '-58')
    """
    return f"{value:.0f}" if abs(value) >= 10**DIGITS else f"{value:.{DIGITS}g}"
