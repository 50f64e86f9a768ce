"""Environments: one virtual environment per backend, built by uv from the pinned locks in `harness/backends/locks`.

The driver (the process that runs `harness`) never imports a backend's libraries. It reads what an environment must be
from `<name>.toml` and `<name>.txt` (`description`), finds an interpreter of the right version (`interpreters`), has uv
make the venv (`build`, `uvtool`), links Theano to a real BLAS (`blas`), and finds it again by its fingerprint
(`environment`). `variants` are the same with other versions of some packages. `worker_side` says what a process started
in it gets to see. `python -m harness.environments lock` recompiles the locks (`locks`). Called by `supervisor` and the
command line; what runs inside a worker is in `harness.backends` and `harness.worker`.
"""

from harness.environments.build import prepare
from harness.environments.description import Description, descriptions
from harness.environments.environment import Environment, described, find
from harness.environments.variants import base_of, name_of, normal, pins_of
from harness.environments.worker_side import worker_path, worker_variables

__all__ = [
    "Description",
    "Environment",
    "base_of",
    "described",
    "descriptions",
    "find",
    "name_of",
    "normal",
    "pins_of",
    "prepare",
    "worker_path",
    "worker_variables",
]
