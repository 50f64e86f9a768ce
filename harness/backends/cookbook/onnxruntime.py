"""The `onnxruntime` backend to paste: ONNX Runtime on the CPU, whose session has a pool of its own."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    model_file = "model.onnx"
    imports = "import onnxruntime"
    loaded = "onnxruntime.InferenceSession({path})"
    limited = "onnxruntime.InferenceSession({path}, options)"
    calls = {"run": Call("{model}.run(None, {{'rows': {rows}}})[0]")}

    def limits(self, intra, inter):
        return [
            "options = onnxruntime.SessionOptions()",
            "options.intra_op_num_threads, options.inter_op_num_threads = %d, %d" % (intra, inter),
        ]
