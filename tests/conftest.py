"""Fixtures that all tests share. A test's folder says how slow it is; its marker follows from the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("harness", deadline=None)  # a busy machine is no failure
settings.load_profile("harness")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in ("integration", "backends"):
            item.add_marker(getattr(pytest.mark, folder))
