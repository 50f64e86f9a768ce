"""The `onnxruntime` backend to paste: ONNX Runtime on the CPU, whose session has a pool of its own."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call

RUN = Call("{model}.run(None, {{'rows': {rows}}})[0]")


class Cookbook(book.Cookbook):
    model_file = "model.onnx"
    imports = "import onnxruntime"
    loaded = "onnxruntime.InferenceSession({path})"
    limited = "onnxruntime.InferenceSession({path}, options)"
    calls = {
        "run": RUN,
        "run-no-spin": RUN._replace(options=("options.add_session_config_entry('session.intra_op.allow_spinning', '0')",)),
        "run-parallel": RUN._replace(options=("options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL",)),
    }
    optional = ("options = onnxruntime.SessionOptions()",)

    def limits(self, intra, inter):
        return [
            "options.intra_op_num_threads, options.inter_op_num_threads = %d, %d" % (intra, inter),
        ]
