"""Evidence names no folder of the machine it was taken on."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import places
from harness.texts import CHECKOUT, portable


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"File {places.home()}/theano-1/lib/x.py", "File ENVIRONMENTS/theano-1/lib/x.py"),
        (f"({CHECKOUT}/harness/cli.py:7)", "(CHECKOUT/harness/cli.py:7)"),
        (f'"{Path.home()}/model.h5"', '"~/model.h5"'),
        (f"Python v3 ({Path.home()}/.pyenv/versions/9.9.9/bin/python)", "Python v3 (PYTHON/bin/python)"),
        (f"{CHECKOUT}-other/x", f"{CHECKOUT}-other/x".replace(f"{Path.home()}/", "~/")),
        ("futex_wait (libc.so.6)", "futex_wait (libc.so.6)"),
    ],
)
def test_folders_of_the_machine_are_named_by_what_they_are(text: str, kept: str) -> None:
    assert portable(text) == kept
