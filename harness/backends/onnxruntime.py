"""The `onnxruntime` backend: ONNX Runtime on the CPU, given the ONNX file of the bundle, which the driver wrote.

A session has an intra-op pool of its own, and an inter-op pool that the sequential mode, its default, does not use. The threads
of a pool spin for a while when they have nothing to do, unless they are told not to.
"""

import os

from harness.backends import UnsupportedLayer, bundle

CALLS = ("run", "run-no-spin", "run-parallel")


class Backend:
    """See `harness.backends` for the protocol. A model is the InferenceSession itself."""

    name = "onnxruntime"

    call = "run"

    def __init__(self):
        self.intra = self.inter = None

    def configure(self, intra, inter, cache_dir):
        self.intra, self.inter = intra, inter

    def import_library(self, bundle_dir):
        import onnxruntime

        return onnxruntime

    def build(self, bundle_dir):
        """Options and no session: ONNX Runtime makes graph and weights in one step."""
        return self._options()

    def load(self, bundle_dir):
        import onnxruntime

        path = os.path.join(bundle_dir, bundle.ONNX)
        if not os.path.exists(path):
            raise UnsupportedLayer("model", "the harness writes ONNX files of its own workloads alone")
        if self.intra is None and self.inter is None and self.call == "run":
            return onnxruntime.InferenceSession(path)
        return onnxruntime.InferenceSession(path, self._options())

    def caller(self, model, call):
        return CALLERS[call](model)

    def save(self, model, path):
        """Written from the file that the session was made from: a session does not write itself."""
        import shutil

        shutil.copyfile(model._model_path, path)

    def versions(self):
        import onnxruntime

        return {"onnxruntime": onnxruntime.__version__}

    def _options(self):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # 0 is ONNX Runtime's own word for "choose".
        options.intra_op_num_threads, options.inter_op_num_threads = self.intra or 0, self.inter or 0
        if self.call == "run-no-spin":
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self.call == "run-parallel":
            options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        return options


def _run(session):
    return lambda rows: session.run(None, {"rows": rows})[0]


CALLERS = dict.fromkeys(CALLS, _run)
