"""Reads a user's model file, in safe mode, and makes a bundle of it. Run in the tensorflow2 environment:

    python -m harness.backends.model_reader MODEL.keras|MODEL.h5 DIRECTORY [--rows ROWS.npy] [--count 64]

The bundle gets a copy of the file, which the tensorflow2 backend loads as it is; the layers and weights for the other
backends, if the model is a chain of layers that mean the same in older Keras ("unsupported" and "reason" in
model.json, if not); the rows, the user's or COUNT seeded ones (normal; integers below the vocabulary before an
Embedding, below 256 for other integer input; a dimension left open counts UNKNOWN_SIZE); and the model's own answers to
them, computed serially here, as reference. Prints model.json's "name", "input_shape", "dtype", "unsupported" and the
number of rows as JSON, the last line of stdout. Bad input: {"message", "remedy"} as the last line of stderr, exit code 3.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

from harness import backends
from harness.backends import bundle, layer_configs

BAD_INPUT = 3
UNKNOWN_SIZE = 16
SEED = 1
INTEGER_LIMIT = 256
SLICE = 16  # rows a call: a large model's activations for all rows at once may not fit
# Two calls in a row differ by rounding at most; more means that the model draws random numbers.
REPEATABLE = 1e-3
SUFFIXES = (".keras", ".h5", ".hdf5")


class BadModel(Exception):
    """The user's file or rows cannot be used; `remedy` says what to do."""

    def __init__(self, message, remedy=""):
        super().__init__(message)
        self.remedy = remedy


def load(path):
    """The Keras model in `path`; code inside the file (lambda layers) is refused."""
    import keras

    if not path.endswith(SUFFIXES):
        raise BadModel("%s is neither a .keras nor an .h5 file" % path, "Save it with model.save('model.keras').")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its readers raise; each means that it cannot read the file
        raise BadModel("Keras %s cannot read %s: %s" % (keras.__version__, path, first_line(error)), remedy(error))
    if len(model.inputs or ()) != 1 or len(model.outputs) != 1:
        raise BadModel("%s has not exactly one input and one output" % path, "Save a model with one of each.")
    return model


def first_line(error):
    # Keras prints a whole configuration before it comes to what went wrong.
    lines = str(error).split("Exception encountered:")[-1].split("Full object config:")[0].strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def remedy(error):
    text = str(error).lower()
    if "lambda" in text or "safe_mode" in text or "unsafe" in text:
        return "A lambda layer holds code, and files are read in safe mode: replace it by a built-in layer."
    return "Save the whole model, without custom classes, with model.save('model.keras') in Keras 3."


def make_rows(model, count):
    """Seeded rows from the input's signature, (count, *input_shape) float32."""
    import numpy

    tensor, stream = model.inputs[0], numpy.random.RandomState(SEED)
    shape = (count,) + tuple(UNKNOWN_SIZE if size is None else size for size in tensor.shape[1:])
    first = next((layer for layer in model.layers if type(layer).__name__ != "InputLayer"), None)
    if type(first).__name__ == "Embedding":
        return stream.randint(0, first.input_dim, shape).astype("float32")
    if "int" in tensor.dtype:
        return stream.randint(0, INTEGER_LIMIT, shape).astype("float32")
    return stream.standard_normal(shape).astype("float32")


def read_rows(model, path):
    """The user's rows as float32, held against the model's input."""
    import numpy

    try:
        rows = numpy.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadModel("cannot read rows from %s: %s" % (path, first_line(error)), "Write them with numpy.save.")
    shape = tuple(model.inputs[0].shape)
    fits = getattr(rows, "ndim", 0) == len(shape) and len(rows) > 0
    if not fits or any(want not in (None, have) for want, have in zip(shape[1:], rows.shape[1:])):
        have = getattr(rows, "shape", "no single array")
        raise BadModel("%s has shape %s, the model takes %s" % (path, have, shape), "None is any size; first axis: rows.")
    if rows.dtype.kind not in "biuf":
        raise BadModel("%s holds %s, not numbers" % (path, rows.dtype), "Save numbers, they are sent as float32.")
    return rows.astype("float32")


def answer_serially(model, rows):
    """The model's own answers, (n, ...) float64, in slices. Raises BadModel where they cannot serve as reference."""
    import numpy

    def call(part):
        return numpy.asarray(model(part, training=False)).astype("float64")

    try:
        answers = numpy.concatenate([call(rows[i : i + SLICE]) for i in range(0, len(rows), SLICE)])
        again = call(rows[:SLICE])
    except Exception as error:  # a model may fail in any way on rows of the right shape
        raise BadModel("the model fails on these rows: %s" % first_line(error), "Give rows it can answer with --rows.")
    if not numpy.isfinite(answers).all():
        raise BadModel("the model's answers to these rows are not all finite", "Give rows it can answer with --rows.")
    if not numpy.allclose(answers[:SLICE], again, rtol=REPEATABLE, atol=REPEATABLE):
        raise BadModel("the model answers the same rows differently each time", "Remove layers that draw at random.")
    return answers


def describe(model, path):
    """(model.json's content but the input shape, weights or None)."""
    types = {layer.compute_dtype for layer in model.layers} - {None}
    name = os.path.splitext(os.path.basename(path))[0]
    content = {"name": name, "file": "user" + os.path.splitext(path)[1]}
    content["dtype"] = next((kind for kind in ("bfloat16", "float16") if kind in types), "float32")
    try:
        content["layers"], weights = layer_configs.describe(model)
    except layer_configs.NotCarriedOver as error:
        content.update(layers=None, unsupported=error.layer_name, reason=error.reason)
        return content, None
    return content, weights


def read(options):
    """Make the bundle; returns what is printed. Nothing is written before everything is known to be good."""
    import numpy

    model = load(options.model)
    rows = read_rows(model, options.rows) if options.rows else make_rows(model, options.count)
    reference = answer_serially(model, rows)
    content, weights = describe(model, options.model)
    content["input_shape"] = list(rows.shape[1:])

    def inside(name):
        return os.path.join(options.directory, name)

    os.makedirs(options.directory, exist_ok=True)
    shutil.copyfile(options.model, inside(content["file"]))
    numpy.save(inside(bundle.INPUTS), rows)
    numpy.save(inside(bundle.REFERENCE), reference)
    if weights is not None:
        numpy.savez(inside(bundle.WEIGHTS), **{bundle.weight_name(i): w for i, w in enumerate(weights)})
    with open(inside(bundle.MODEL), "w") as file:
        json.dump(content, file, indent=1)
    printed = {key: content.get(key) for key in ("name", "input_shape", "dtype", "unsupported")}
    return dict(printed, rows=len(rows))


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m harness.backends.model_reader")
    parser.add_argument("model")
    parser.add_argument("directory")
    parser.add_argument("--rows")
    parser.add_argument("--count", type=int, default=64)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as cache_dir:
        backends.get("tensorflow2").configure(intra=None, inter=None, cache_dir=cache_dir)
        print(json.dumps(read(options)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BadModel as error:
        sys.stderr.write(json.dumps({"message": str(error), "remedy": error.remedy}) + "\n")
        sys.exit(BAD_INPUT)
