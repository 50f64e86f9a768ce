"""One contract for all backends: each builds every workload through its own Keras and answers like the reference."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from harness import environments, workloads
from harness.environments import Environment
from harness.errors import MissingTool
from harness.run.bundles import Bundle, write_bundles

BACKENDS = ("tensorflow2", "tensorflow1", "tensorflow1_15", "theano")
QUICKEST = {"lstm": ("tensorflow2", "tensorflow1"), "convnet-large": ("tensorflow2",)}  # Theano compiles the LSTM for long
CASES = [
    (backend, call, workload)
    for backend in BACKENDS
    for workload in workloads.NAMES
    for call in environments.descriptions()[backend].calls
    if (call == "predict" and backend in QUICKEST.get(workload, BACKENDS)) or workload == "digits-cnn"
]


def environment(name: str) -> Environment:
    try:
        return environments.prepare(name)
    except MissingTool as error:
        pytest.skip(f"{error}; {error.remedy}")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    return write_bundles(workloads.NAMES, tmp_path_factory.mktemp("bundles"))


def check(name: str, bundle: Bundle, call: str) -> dict[str, Any]:
    """What `harness.backends.check` prints when run in the backend's environment."""
    ready = environment(name)
    done = subprocess.run(
        [
            str(ready.python),
            "-m",
            "harness.backends.check",
            name,
            str(bundle.folder),
            "--call",
            call,
            "--cache-dir",
            str(ready.cache_dir),
        ],
        env=environments.worker_variables(ready),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("backend", "call", "workload"), CASES)
def test_every_backend_answers_like_the_float64_reference(
    backend: str, call: str, workload: str, bundles: dict[str, Bundle]
) -> None:
    found = check(backend, bundles[workload], call)
    rtol, atol = workloads.tolerance("float32")
    assert found["max_abs_error"] <= atol + rtol * found["max_abs_reference"]
    if workload == "digits-cnn":
        assert found["accuracy"] >= 0.97


def test_theano_is_linked_to_a_real_blas_about_as_fast_as_numpys() -> None:
    blas = environment("theano").facts["blas"]
    assert blas["gemm_linked"]
    assert blas["conv_linked"]
    assert not blas["numpy_fallback"]
