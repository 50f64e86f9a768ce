"""Real Keras on real backends; environments are built where they are missing."""

from __future__ import annotations

import pytest

from tests.integration.conftest import harness  # noqa: F401 - a fixture


@pytest.fixture
def celery_environment() -> None:
    """The real backends' own environments are used here."""
