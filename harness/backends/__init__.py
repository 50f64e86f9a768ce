"""The contestants: one module per backend, one small protocol, imported by workers on Python 3.7 and up.

A backend is a Keras generation on an engine, or an engine by itself. Its module is named after it and holds `CALLS`, the ways
it can be asked to predict, and a class `Backend`:

    backend = backends.get("tensorflow1")
    backend.configure(intra=None, inter=None, cache_dir="...")  # before NumPy and the ML library are imported
    backend.call = "predict"                                    # how it will be asked, for sessions that are made for it
    model = backend.load(bundle_dir)                            # raises UnsupportedLayer
    answer = backend.caller(model, "predict")                   # function: float32 (batch, *input_shape) -> (batch, outputs)
    backend.import_library(bundle_dir)                          # only that; what it returns is kept alive
    backend.build(bundle_dir)                                   # the model without its weights
    backend.versions()                                          # {"keras": "2.2.4", "tensorflow": "1.13.1"}
    backend.save(model, path)                                   # as its library saves it; a Keras model does that itself

The two that go less far than `load` serve cells whose parent does no more (see `harness.worker.runner`); the controls
do without them. `intra` and `inter` are engine threads, None leaves the library's default. The calls:

    predict           model.predict(x), what a user writes first
    predict_on_batch  model.predict_on_batch(x)
    direct            model(x, training=False), or model(x)     (Keras 3; PyTorch, in inference mode)
    graph             predict with the graph kept at load as default graph   (TensorFlow 1)
    graph-session     the same with the session kept at load as well         (TensorFlow 1)
    run               session.run(None, {"rows": x})            (ONNX Runtime)
    run-no-spin       the same; its threads sleep between two runs       (session.intra_op.allow_spinning = 0)
    run-parallel      the same; branches of the graph run side by side   (execution_mode = ORT_PARALLEL)
    plain             model(x) with gradients kept track of, detached    (PyTorch)
    one-thread        direct, after torch.set_num_threads(1) in the task (PyTorch)
    data-loader       direct, of rows from a DataLoader with a worker    (PyTorch)
    joblib            two jobs of joblib, processes, each predicts x     (scikit-learn)
    joblib-threads    the same with threads                              (scikit-learn)
    process-pool      two processes of multiprocessing.Pool, likewise    (scikit-learn)

What a call and engine threads are as code for a user to paste stands in the backend's page of `cookbook`.

Nothing here locks, warms up or builds a predict function ahead of time: naive user code is the thing under test.
Standard library at import time; nothing comes from `harness` but this package. `check` tries a backend on a bundle,
`model_reader` turns a user's model file into one, `plain_layers` reads one for an engine without Keras. The bundle itself is
described in `bundle`.
"""

import importlib
import importlib.util
import os
import sys

OUTSIDE = "HARNESS_BACKEND"  # variable: NAME=FILE.py:Class, of a backend that is no part of this package


class UnsupportedLayer(Exception):
    """This backend's Keras cannot build a layer of the model. The text begins with the layer's name."""

    def __init__(self, layer_name, reason=""):
        super().__init__("%s (%s)" % (layer_name, reason) if reason else layer_name)
        self.layer_name = layer_name


def get(name):
    """The backend called `name`. Raises ModuleNotFoundError where there is none."""
    own, _, reference = os.environ.get(OUTSIDE, "").partition("=")
    if name == own:
        return _from_file(name, *reference.rsplit(":", 1))
    return importlib.import_module("harness.backends." + name).Backend()


def _from_file(name, path, cls):
    """An instance of the class, whose module is run once. Its folder is on no path: what it imports is installed."""
    module_name = "harness_backend_" + name
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return getattr(sys.modules[module_name], cls)()
