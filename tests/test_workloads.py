"""The workloads on the driver's side: the reference is right, rows can be told apart, bundles are the same every time."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness import places, workloads
from harness.backends import bundle
from harness.errors import BadInput, MissingTool
from harness.run.bundles import STAMP, write_bundles
from harness.workloads import digits, layers, reference, tolerances, user_model
from harness.workloads.initial_weights import random_weights
from harness.workloads.layers import Layer

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def bundles() -> Path:
    """Where runs have them: the large one takes 10 s to write."""
    write_bundles(workloads.NAMES, places.home() / "bundles")
    return places.home() / "bundles"


def correlate_by_loops(x: Array, kernel: Array, bias: Array, padding: str) -> Array:
    """Conv2D of one image from its definition: a sum over every offset, zeros outside for "same"."""
    h, w, channels = x.shape
    kh, kw, _, filters = kernel.shape
    top, left = ((kh - 1) // 2, (kw - 1) // 2) if padding == "same" else (0, 0)
    rows, columns = (h, w) if padding == "same" else (h - kh + 1, w - kw + 1)
    y = np.zeros((rows, columns, filters))
    for r, s, f in np.ndindex(rows, columns, filters):
        y[r, s, f] = bias[f]
        for i, j, c in np.ndindex(kh, kw, channels):
            u, v = r + i - top, s + j - left
            if 0 <= u < h and 0 <= v < w:
                y[r, s, f] += x[u, v, c] * kernel[i, j, c, f]
    return y


@settings(max_examples=40)
@given(
    st.integers(3, 6),
    st.integers(3, 6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(["same", "valid"]),
    st.integers(0, 99),
)
def test_conv2d_equals_its_definition(h: int, w: int, kh: int, kw: int, padding: str, seed: int) -> None:
    stream = np.random.RandomState(seed)
    x, kernel, bias = stream.standard_normal((2, h, w, 2)), stream.standard_normal((kh, kw, 2, 3)), stream.standard_normal(3)
    y = reference.conv2d(x, [kernel, bias], {"padding": padding, "activation": "linear"})
    assert np.allclose(y, [correlate_by_loops(image, kernel, bias, padding) for image in x], rtol=0, atol=1e-12)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 2), st.integers(0, 99))
def test_max_pooling_takes_each_windows_largest_and_drops_the_border(h: int, w: int, size: int, seed: int) -> None:
    x = np.random.RandomState(seed).standard_normal((1, h, w, 2))
    y = reference.max_pooling2d(x, [], {"pool_size": [size, size]})
    assert y.shape == (1, h // size, w // size, 2)
    for r, s, c in np.ndindex(*y.shape[1:]):
        assert y[0, r, s, c] == x[0, r * size : (r + 1) * size, s * size : (s + 1) * size, c].max()


def test_flatten_lets_the_channel_move_fastest() -> None:
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    assert reference.flatten(x, [], {})[0].tolist() == list(range(12))


def test_dense_adds_its_bias_before_the_activation() -> None:
    weights = [np.array([[1.0, -1.0], [2.0, 0.5]]), np.array([0.5, -3.0])]
    y = reference.dense(np.array([[1.0, 2.0]]), weights, {"activation": "relu"})
    assert y.tolist() == [[5.5, 0.0]]


def test_lstm_follows_the_gates_equations_number_by_number() -> None:
    # One unit, one feature, two steps; the gates stand in the order input, forget, cell, output.
    kernel, recurrent, bias = [0.5, -0.4, 0.3, 0.2], [0.1, 0.6, -0.7, 0.9], [0.05, 0.15, -0.25, 0.35]

    def sigmoid(value: float) -> float:
        return float(1 / (1 + np.exp(-value)))

    h = c = 0.0
    for x in (0.8, -1.5):
        i, f, g, o = (k * x + r * h + b for k, r, b in zip(kernel, recurrent, bias, strict=True))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    spec = [layers.lstm(1)]
    weights = [np.array([kernel]), np.array([recurrent]), np.array(bias)]
    y = reference.forward(spec, weights, np.array([[[0.8], [-1.5]]]))
    assert y[0, 0] == pytest.approx(h, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("linear", [-1000.0, 0.0, 1.0]),
        ("relu", [0.0, 0.0, 1.0]),
        ("tanh", [-1.0, 0.0, np.tanh(1.0)]),
        ("sigmoid", [0.0, 0.5, 1 / (1 + np.exp(-1.0))]),
        ("softmax", [0.0, 1 / (1 + np.e), np.e / (1 + np.e)]),
    ],
)
def test_activations_are_right_and_do_not_overflow(name: str, right: list[float]) -> None:
    with np.errstate(over="raise", invalid="raise"):
        y = reference.activation(name)(np.array([[-1000.0, 0.0, 1.0]]))
    assert np.allclose(y, [right], rtol=0, atol=1e-15)


def test_forward_refuses_weights_that_do_not_match_the_layers() -> None:
    spec: list[Layer] = [layers.dense(2, "linear")]
    kernel, bias = np.ones((3, 2)), np.ones(2)
    rows = np.ones((1, 3))
    with pytest.raises(ValueError, match="too many"):
        reference.forward(spec, [kernel, bias, bias], rows)
    with pytest.raises(ValueError, match="no weights left"):
        reference.forward(spec, [kernel], rows)


@pytest.mark.parametrize("name", workloads.NAMES)
def test_declared_shapes_are_those_of_the_weights_and_of_the_answers(name: str) -> None:
    workload = workloads.get(name)
    shape, wanted = workload.input_shape, []
    for layer in workload.spec:
        wanted += layers.weight_shapes(layer, shape)
        shape = layers.output_shape(layer, shape)
    weights = workload.weights()
    assert [weight.shape for weight in weights] == wanted
    numbered = {np.dtype("int32")} if workload.spec[0]["layer"] == bundle.TREES else set()  # which node comes next
    assert {weight.dtype for weight in weights} == {np.dtype("float32")} | numbered
    assert workload.rows().shape[1:] == workload.input_shape
    assert shape == (10,)


def test_random_weights_depend_on_the_seed_alone() -> None:
    spec = [layers.dense(4, "relu"), layers.dense(2, "linear")]
    first, again, other = (random_weights(spec, (3,), seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_an_unknown_workload_is_bad_input_that_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="mnist") as caught:
        workloads.get("mnist")
    assert "digits-cnn" in caught.value.remedy


@pytest.mark.parametrize("name", workloads.NAMES)
def test_answers_of_any_two_rows_differ_by_many_tolerances(bundles: Path, name: str) -> None:
    answers = np.load(bundles / name / bundle.REFERENCE)
    assert answers.shape == (len(np.load(bundles / name / bundle.INPUTS)), 10)
    assert np.isfinite(answers).all()
    rtol, atol = workloads.tolerance("float32")
    limit = tolerances.DISTANCE * (atol + rtol * np.abs(answers).max())
    distances = np.abs(answers[:, None] - answers[None]).max(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > limit
    assert workloads.indistinct_pairs(answers, "float32") == 0


def test_rows_with_equal_answers_are_counted_as_pairs() -> None:
    answers = np.array([[0.0, 1.0], [5.0, 1.0], [0.0, 1.0 + 1e-4], [5.0, 1.0]])
    assert workloads.indistinct_pairs(answers, "float32") == 2


def test_a_type_without_tolerance_is_bad_input() -> None:
    with pytest.raises(BadInput, match="int8"):
        workloads.tolerance("int8")


@pytest.mark.parametrize("name", ["tiny-dense", "digits-cnn", "digits-mlp", "lstm", "digits-trees", "digits-trees-xgboost"])
def test_writing_a_bundle_again_gives_the_same_bytes_and_leaves_nothing_else(bundles: Path, tmp_path: Path, name: str) -> None:
    for _ in range(2):
        workloads.write_bundle(name, tmp_path)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert {*files, STAMP} == {file.name for file in (bundles / name).iterdir()}
    for file in files:
        assert (tmp_path / file).read_bytes() == (bundles / name / file).read_bytes(), file


def test_a_bundle_read_as_a_worker_reads_it_gives_its_reference(bundles: Path) -> None:
    folder = str(bundles / "digits-cnn")
    model, weights = bundle.read_model(folder), bundle.read_weights(folder)
    rows = np.load(bundles / "digits-cnn" / bundle.INPUTS)
    assert rows.dtype == np.float32
    answers = reference.forward(model["layers"], weights, rows)
    assert np.array_equal(answers, np.load(bundles / "digits-cnn" / bundle.REFERENCE))


def test_digits_cnn_reads_at_least_97_percent_of_the_held_out_digits(bundles: Path) -> None:
    answers = np.load(bundles / "digits-cnn" / bundle.REFERENCE)
    labels = np.load(bundles / "digits-cnn" / bundle.LABELS)
    assert (answers.argmax(axis=1) == labels).mean() >= 0.97


def test_held_out_digits_and_training_digits_make_up_the_data_once() -> None:
    (trained, trained_labels), (held_out, held_out_labels) = digits.train(), digits.test()
    with np.load(digits.FILE) as file:
        images, labels = file["images"], file["labels"]
    together = np.concatenate([trained, held_out]).reshape(len(images), -1) * digits.BRIGHTEST
    assert sorted(map(bytes, together.astype(np.uint8))) == sorted(map(bytes, images.reshape(len(images), -1)))
    assert np.array_equal(np.bincount(np.concatenate([trained_labels, held_out_labels])), np.bincount(labels))
    assert len(held_out) == digits.TEST_COUNT


def fake_reader(tmp_path: Path, code: str) -> Path:
    """An interpreter that runs `code` whatever it is asked to run."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o755)
    return script


def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(b"")
    return path


def test_what_the_reader_says_last_becomes_bad_input(tmp_path: Path) -> None:
    said = json.dumps({"message": "no model", "remedy": "save one"})
    python = fake_reader(tmp_path, f"import sys; sys.stderr.write('a log line\\n' + {said!r} + '\\n'); sys.exit(3)")
    with pytest.raises(BadInput, match=r"^no model$") as caught:
        user_model.write_user_bundle(python, {}, model_file(tmp_path), None, tmp_path / "out")
    assert caught.value.remedy == "save one"


def test_a_reader_that_dies_leaves_its_log_as_evidence(tmp_path: Path) -> None:
    python = fake_reader(tmp_path, "import os, sys; sys.stderr.write('core dumped\\n'); sys.stderr.flush(); os.abort()")
    with pytest.raises(BadInput, match="exit code -6") as caught:
        user_model.write_user_bundle(python, {}, model_file(tmp_path), None, tmp_path / "out")
    assert "core dumped" in caught.value.evidence


def test_a_missing_model_or_interpreter_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        user_model.write_user_bundle(Path(sys.executable), {}, tmp_path / "none.keras", None, tmp_path / "out")
    with pytest.raises(MissingTool):
        user_model.write_user_bundle(tmp_path / "no-python", {}, model_file(tmp_path), None, tmp_path / "out")


WRITES_ALIKE = """
import json, os, sys
import numpy
folder = sys.argv[4]
os.makedirs(folder)
numpy.save(os.path.join(folder, "reference.npy"), numpy.zeros((3, 2)))
model = {"dtype": "float32", "layers": None, "unsupported": "Add", "reason": "does not simply follow"}
json.dump(model, open(os.path.join(folder, "model.json"), "w"))
"""


def test_a_model_whose_rows_cannot_be_told_apart_or_that_stays_with_keras_3_is_doubted(tmp_path: Path) -> None:
    python = fake_reader(tmp_path, WRITES_ALIKE)
    layer, alike = user_model.write_user_bundle(python, {}, model_file(tmp_path), None, tmp_path / "out")
    assert "Add: does not simply follow" in layer
    assert "3 of 3 pairs" in alike


def test_backends_import_nothing_but_the_standard_library_and_themselves() -> None:
    code = (
        "import sys, pkgutil, importlib, harness.backends as b\n"
        "for m in pkgutil.iter_modules(b.__path__): importlib.import_module('harness.backends.' + m.name)\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('numpy', 'keras', 'tensorflow', 'theano', 'torch', "
        "'sklearn', 'onnxruntime', 'lightgbm', 'xgboost')])\n"
        "print([n for n in sys.modules if n.startswith('harness.') and not n.startswith('harness.backends')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.split() == ["[]", "[]"]
