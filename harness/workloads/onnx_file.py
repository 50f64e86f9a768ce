"""A workload as an ONNX file: the same layers and weights, for engines that read ONNX. NumPy only; no ONNX package is needed.

Operators and attributes are those of the ONNX specification, opset 17 and ai.onnx.ml 3 (onnx.ai/onnx/operators); numbers of
fields are those of onnx.proto. Rows come in as Keras has them, so a graph first turns images to (channels, height, width).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends.bundle import TREES
from harness.workloads import trees
from harness.workloads.layers import Layer, Shape
from harness.workloads.protobuf import content, real, reals, whole, wholes
from harness.workloads.reference import LAYERS

IR_VERSION, OPSET, ML_OPSET = 8, 17, 3
ML_DOMAIN = "ai.onnx.ml"
FLOAT, INT64 = 1, 7  # TensorProto.DataType
ROWS = "rows"  # the input's name
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}

Weights = Sequence[NDArray[Any]]
Value = float | str | Sequence[int] | Sequence[float] | Sequence[str]


class Graph:
    """A chain of nodes that grows: `last` is the name of the newest value."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []
        self.last = ROWS

    def add(self, operator: str, *weights: NDArray[Any], domain: str = "", outputs: int = 1, **attributes: Value) -> None:
        """A node that takes the newest value and these weights. The last of its `outputs` is the newest value then."""
        name = f"{operator.lower()}{len(self.nodes)}"
        inputs = [self.last, *(self._tensor(f"{name}.{place}", weight) for place, weight in enumerate(weights))]
        made = [f"{name}.skipped{place}" for place in range(outputs - 1)] + [name]
        self.nodes.append(
            b"".join(content(1, each) for each in inputs)
            + b"".join(content(2, each) for each in made)
            + content(3, name)
            + content(4, operator)
            + b"".join(content(5, attribute(key, value)) for key, value in attributes.items())
            + content(7, domain)
        )
        self.last = name

    def _tensor(self, name: str, weight: NDArray[Any]) -> str:
        kind = INT64 if weight.dtype.kind == "i" else FLOAT
        data = weight.astype("<i8" if kind == INT64 else "<f4").tobytes()
        dims = b"".join(whole(1, length) for length in weight.shape)
        self.tensors.append(dims + whole(2, kind) + content(8, name) + content(9, data))
        return name


def attribute(name: str, value: Value) -> bytes:
    """An AttributeProto; its type follows from the value's."""
    if isinstance(value, float):
        return content(1, name) + real(2, value) + whole(20, 1)
    if isinstance(value, int):
        return content(1, name) + whole(3, value) + whole(20, 2)
    if isinstance(value, str):
        return content(1, name) + content(4, value) + whole(20, 3)
    if all(isinstance(each, str) for each in value):
        return content(1, name) + b"".join(content(9, str(each)) for each in value) + whole(20, 8)
    if any(isinstance(each, float) for each in value):
        return content(1, name) + reals(7, [float(each) for each in value]) + whole(20, 6)
    return content(1, name) + wholes(8, [int(each) for each in value]) + whole(20, 7)


def encode(spec: Sequence[Layer], weights: Weights, input_shape: Shape, outputs: int) -> bytes:
    """The file's bytes. `outputs`: numbers per row of the answer."""
    graph, left = Graph(), list(weights)
    if len(input_shape) == 3:
        graph.add("Transpose", perm=[0, 3, 1, 2])
    for layer in spec:
        count = LAYERS[layer["layer"]][1]
        WRITERS[layer["layer"]](graph, left[:count], layer["config"])
        left = left[count:]
    body = (
        b"".join(content(1, node) for node in graph.nodes)
        + content(2, "workload")
        + b"".join(content(5, tensor) for tensor in graph.tensors)
        + content(11, _value(ROWS, input_shape))
        + content(12, _value(graph.last, (outputs,)))
    )
    opsets = [whole(2, OPSET), content(1, ML_DOMAIN) + whole(2, ML_OPSET)]
    return whole(1, IR_VERSION) + content(2, "harness") + content(7, body) + b"".join(content(8, each) for each in opsets)


def _value(name: str, shape: Shape) -> bytes:
    """A ValueInfoProto: float32, any number of rows of this shape."""
    dims = content(1, content(2, "n")) + b"".join(content(1, whole(1, length)) for length in shape)
    return content(1, name) + content(2, content(1, whole(1, FLOAT) + content(2, dims)))


def _activate(graph: Graph, name: str) -> None:
    if name != "linear":
        graph.add(ACTIVATIONS[name])


def _dense(graph: Graph, weights: Weights, config: dict[str, Any]) -> None:
    graph.add("Gemm", *weights)
    _activate(graph, config["activation"])


def _conv2d(graph: Graph, weights: Weights, config: dict[str, Any]) -> None:
    """Keras' kernel is (height, width, inputs, filters); "same" pads an even kernel more behind."""
    kernel, bias = weights
    sizes = kernel.shape[:2] if config["padding"] == "same" else (1, 1)
    pads = [*((size - 1) // 2 for size in sizes), *(size // 2 for size in sizes)]
    graph.add("Conv", kernel.transpose(3, 2, 0, 1), bias, pads=pads, kernel_shape=kernel.shape[:2])
    _activate(graph, config["activation"])


def _max_pooling2d(graph: Graph, weights: Weights, config: dict[str, Any]) -> None:
    graph.add("MaxPool", kernel_shape=config["pool_size"], strides=config["pool_size"])


def _flatten(graph: Graph, weights: Weights, config: dict[str, Any]) -> None:
    """Keras lets channels move fastest."""
    graph.add("Transpose", perm=[0, 2, 3, 1])
    graph.add("Flatten", axis=1)


def _lstm(graph: Graph, weights: Weights, config: dict[str, Any]) -> None:
    """Keras' gates are input, forget, cell, output; ONNX's input, output, forget, cell. Its steps come first."""
    units = config["units"]
    kernel, recurrent, bias = (
        np.concatenate([np.split(each.T, 4)[gate] for gate in (0, 3, 1, 2)])[np.newaxis] for each in weights
    )
    graph.add("Transpose", perm=[1, 0, 2])
    both = np.concatenate([bias, np.zeros_like(bias)], axis=1)
    graph.add("LSTM", kernel, recurrent, both, outputs=2, hidden_size=units)  # the second one: the state after the last step
    graph.add("Squeeze", np.array([0]))


def _trees(graph: Graph, weights: Weights, config: dict[str, Any]) -> None:
    """Nodes are named by their tree and their number in it."""
    root, feature, threshold, left, right, value = weights
    tree = np.repeat(np.arange(len(root)), np.diff([*root, len(feature)]))
    begin, leaf = root[tree], feature == trees.LEAF
    mode = "BRANCH_LEQ" if config["goes_left"] == trees.AT_MOST else "BRANCH_LT"
    number = np.arange(len(feature)) - begin
    graph.add(
        "TreeEnsembleRegressor", domain=ML_DOMAIN, n_targets=config["outputs"], aggregate_function="SUM", post_transform="NONE",
        nodes_treeids=tree.tolist(), nodes_nodeids=number.tolist(),
        nodes_modes=["LEAF" if each else mode for each in leaf.tolist()],
        nodes_featureids=np.where(leaf, 0, feature).tolist(), nodes_values=threshold.tolist(),
        nodes_truenodeids=np.where(leaf, 0, left - begin).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, right - begin).tolist(),
        target_treeids=tree[leaf].tolist(), target_nodeids=number[leaf].tolist(),
        target_ids=(tree[leaf] % config["outputs"]).tolist(), target_weights=value[leaf].tolist(),
    )  # fmt: skip


#: A layer's name -> what writes it.
WRITERS: dict[str, Callable[[Graph, Weights, dict[str, Any]], None]] = {
    "Conv2D": _conv2d,
    "MaxPooling2D": _max_pooling2d,
    "Flatten": _flatten,
    "Dense": _dense,
    "LSTM": _lstm,
    TREES: _trees,
}
