"""Fixtures that all tests share. A test's folder says how slow it is; its marker follows from the folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("harness", deadline=None)  # a busy machine is no failure
settings.load_profile("harness")
HERE = Path(__file__).parent
#: what takes longest begins first, for each file is run by one process, and what begins last is to be short
LONGEST = ("integration/test_probe.py", "integration/test_selftest.py", "backends/test_cells.py", "integration/test_asv.py")


@pytest.fixture(scope="session", autouse=True)
def temporary() -> Iterator[None]:
    """Where all that is started has its temporary files: what is killed cannot remove them. Its path is short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in ("integration", "backends"):
            item.add_marker(getattr(pytest.mark, folder))
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    assert all(path.exists() for path in places), "a file was renamed"
    items.sort(key=lambda item: places.get(item.path, len(places)))
