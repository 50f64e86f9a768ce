"""A bundle: the folder that carries a workload from the driver to a worker. Read here; the driver writes it.

    model.json     {"name", "input_shape", "dtype", "layers": [{"layer": "Conv2D", "config": {...}}, ...]}
                   "file": a Keras 3 model file beside it, for the backend that can read it
                   "unsupported", "reason": where "layers" is null, the layer that stays with Keras 3, and why
    weights.npz    w000, w001, ... in the order of `model.get_weights()`
    model.onnx     the same model for engines that read ONNX; not of a user's own model
    model.txt, model.xgboost.json   an ensemble of trees as the engine wrote it that trained it: LightGBM, XGBoost
    inputs.npy     (n, *input_shape) float32
    reference.npy  (n, outputs) float64, the right answers
    labels.npy     (n,) the right class of each row, where there is one

Names and values of layers are those that Keras 2.2.4, 2.3.1 and 3 share.
"""

import json
import os

MODEL = "model.json"
ONNX = "model.onnx"
LIGHTGBM = "model.txt"
XGBOOST = "model.xgboost.json"
WEIGHTS = "weights.npz"
INPUTS = "inputs.npy"
REFERENCE = "reference.npy"
LABELS = "labels.npy"
TREES = "TreeEnsemble"  # the one layer of a model that no Keras knows, see `harness.workloads.trees`


def weight_name(index):
    return "w%03d" % index


def read_model(bundle_dir):
    """The parsed model.json."""
    with open(os.path.join(bundle_dir, MODEL)) as file:
        return json.load(file)


def read_weights(bundle_dir):
    """The weights as a list of arrays, in the order that `model.set_weights` wants."""
    import numpy

    with numpy.load(os.path.join(bundle_dir, WEIGHTS)) as arrays:
        return [arrays[weight_name(i)] for i in range(len(arrays.files))]


def not_an_ensemble(bundle_dir, engine):
    """(layer, reason) of a model that an engine for trees cannot have, as UnsupportedLayer wants them."""
    model = read_model(bundle_dir)
    name = model["unsupported"] if model["layers"] is None else model["layers"][0]["layer"]
    reason = "trained by another engine" if name == TREES else "%s computes ensembles of trees" % engine
    return name, reason
