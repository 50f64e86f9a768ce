"""The `openvino` backend to paste: Keras 3 on OpenVINO. Keras hands over no options when it compiles the model."""

from harness.backends.cookbook.keras3 import Keras3

OPTIONS = ("openvino.compile_model = functools.partial(openvino.compile_model, config=config)",)


class Cookbook(Keras3):
    imports = "import functools, keras, openvino"
    environment = {"KERAS_BACKEND": "openvino"}
    optional = ("config = {'INFERENCE_PRECISION_HINT': 'f32'}  # left alone, bfloat16 if the CPU has it",)
    limited = Keras3.loaded
    calls = {name: call._replace(options=OPTIONS) for name, call in Keras3.calls.items()}

    def limits(self, intra, inter):
        return ["config['INFERENCE_NUM_THREADS'] = %d" % intra]
