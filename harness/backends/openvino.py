"""The `openvino` backend: Keras 3 on OpenVINO, on the CPU; it can answer, and not train.

Keras compiles the model when it is first asked, by `openvino.compile_model`, and hands over no options (`keras/src/backend/
openvino/trainer.py`, 3.15), so that function is given them. Left alone, OpenVINO computes in bfloat16 on a CPU that has it,
without a word: answers of digits-cnn, up to 27, were off by up to 0.12 then (2026.4), and by 2e-5 in float32, in which all
other engines compute.
"""

import functools

from harness.backends import keras3

CALLS = keras3.CALLS


class Backend(keras3.Backend):
    """See `harness.backends` for the protocol. A model is the Keras model itself."""

    name = "openvino"
    engine = library = "openvino"

    def limit_threads(self, library):
        config = {"INFERENCE_PRECISION_HINT": "f32"}
        if self.intra is not None:
            config["INFERENCE_NUM_THREADS"] = self.intra
        library.compile_model = functools.partial(library.compile_model, config=config)

    def versions(self):
        found = keras3.Backend.versions(self)
        return dict(found, openvino=found["openvino"].partition("-")[0])
