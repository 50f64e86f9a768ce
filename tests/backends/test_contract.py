"""One contract for all backends: each builds the workloads that it can and answers like the reference."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from harness import environments, places, workloads
from harness.environments import Environment
from harness.errors import MissingTool
from harness.run.bundles import Bundle, write_bundles

KERAS = ("tensorflow2", "tensorflow1", "tensorflow1_15", "theano", "jax", "openvino", "keras_torch")
TREES = ("digits-trees", "digits-trees-xgboost")
QUICKEST = {  # Theano compiles the LSTM for long, and no Keras knows trees
    "lstm": ("tensorflow2", "tensorflow1", "jax", "openvino", "keras_torch"),
    "convnet-large": ("tensorflow2",), TREES[0]: (), TREES[1]: ()
}  # fmt: skip
#: engines without Keras -> what they serve; `tiny-dense` is left out as it is digits-mlp with less
NATIVE = {
    "sklearn": ("digits-mlp",),
    "onnxruntime": ("digits-mlp", "digits-cnn", "lstm", *TREES),
    "lightgbm": TREES[:1],
    "xgboost": TREES[1:],
    "torch": ("digits-mlp", "digits-cnn"),
}
LARGE = ("torch", "jax", "openvino", "keras_torch")  # the tests do not install them
#: `python -m harness.backends.check`, once for each list of arguments
CHECK = """
import json, sys
from harness.backends import check
for arguments in json.loads(sys.argv[1]):
    complaint = check.main(check.parse(arguments))
    assert not complaint, complaint
"""
CASES = [
    (backend, call, workload)
    for backend in KERAS
    for workload in workloads.NAMES
    for call in environments.descriptions()[backend].calls
    if (call == "predict" and backend in QUICKEST.get(workload, KERAS)) or workload == "digits-cnn"
] + [
    (backend, call, workload)
    for backend, served in NATIVE.items()
    for workload in served
    for call in environments.descriptions()[backend].calls
]
#: whoever is named in HARNESS_BACKENDS
OUTSIDE = [
    (one.name, call, workload)
    for one in environments.descriptions().values()
    if one.outside
    for call in one.calls
    for workload in workloads.NAMES
]
REFUSED = [("sklearn", "digits-cnn", "Conv2D"), ("lightgbm", "digits-mlp", "Dense"), ("xgboost", TREES[0], "TreeEnsemble")]


def environment(name: str) -> Environment:
    if name in LARGE and environments.find(name) is None:
        pytest.skip(f"{name} is large, and the tests do not install it; harness setup {name}")
    try:
        return environments.prepare(name)
    except MissingTool as error:
        pytest.skip(f"{error}; {error.remedy}")


@pytest.fixture(scope="session")
def bundles() -> dict[str, Bundle]:
    return write_bundles(workloads.NAMES, places.home() / "bundles")


@pytest.fixture(scope="session")
def found(bundles: dict[str, Bundle]) -> Callable[[str], dict[tuple[str, str], dict[str, Any]]]:
    """What `harness.backends.check` finds in the backend's environment, by call and workload. All of it in one process: most of
    what it costs is to import the engine."""

    @cache
    def of(name: str) -> dict[tuple[str, str], dict[str, Any]]:
        ready = environment(name)
        asked = [(call, workload) for backend, call, workload in CASES if backend == name]
        argv = [
            [name, str(bundles[workload].folder), "--call", call, "--cache-dir", str(ready.cache_dir)]
            for call, workload in asked
        ]
        done = subprocess.run(
            [str(ready.python), "-c", CHECK, json.dumps(argv)],
            env=environments.worker_variables(ready),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"backend"')]
        return {(one["call"], one["workload"]): one for one in results}

    return of


@pytest.mark.parametrize(("backend", "call", "workload"), CASES)
def test_every_backend_answers_like_the_float64_reference(
    backend: str, call: str, workload: str, found: Callable[[str], dict[tuple[str, str], dict[str, Any]]]
) -> None:
    one = found(backend)[call, workload]
    rtol, atol = workloads.tolerance("float32")
    assert one["max_abs_error"] <= atol + rtol * one["max_abs_reference"]
    if workload == "digits-cnn":
        assert one["accuracy"] >= 0.97
    if workload in TREES:
        assert one["accuracy"] >= 0.93


def checked(name: str, bundle: Bundle, call: str) -> subprocess.CompletedProcess[str]:
    ready = environment(name)
    return subprocess.run(
        [str(ready.python), "-m", "harness.backends.check", name, str(bundle.folder), "--call", call],
        env=environments.worker_variables(ready),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(("backend", "workload", "layer"), REFUSED)
def test_what_an_engine_cannot_have_is_refused_by_the_layers_name(
    backend: str, workload: str, layer: str, bundles: dict[str, Bundle]
) -> None:
    done = checked(backend, bundles[workload], "predict")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"unsupported layer: {layer} (" in done.stderr


@pytest.mark.parametrize(("backend", "call", "workload"), OUTSIDE)
def test_a_backend_from_outside_answers_like_the_float64_reference_or_refuses(
    backend: str, call: str, workload: str, bundles: dict[str, Bundle]
) -> None:
    done = checked(backend, bundles[workload], call)
    if done.returncode == 3 and "unsupported layer: " in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    rtol, atol = workloads.tolerance("float32")
    assert found["max_abs_error"] <= atol + rtol * found["max_abs_reference"]


def test_theano_is_linked_to_a_real_blas_about_as_fast_as_numpys() -> None:
    blas = environment("theano").facts["blas"]
    assert blas["gemm_linked"]
    assert blas["conv_linked"]
    assert not blas["numpy_fallback"]
