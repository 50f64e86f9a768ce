"""The `keras_torch` backend to paste: Keras 3 on PyTorch."""

from harness.backends.cookbook.book import Call
from harness.backends.cookbook.keras3 import Keras3


class Cookbook(Keras3):
    imports = "import keras, torch"
    environment = {"KERAS_BACKEND": "torch"}
    calls = dict(
        Keras3.calls,
        direct=Call("{model}({rows}, training=False).numpy()", within="torch.inference_mode()", imports="import torch"),
    )

    def limits(self, intra, inter):
        return ["torch.set_num_threads(%d)" % intra, "torch.set_num_interop_threads(%d)" % inter]
