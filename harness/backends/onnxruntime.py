"""The `onnxruntime` backend: ONNX Runtime on the CPU, given the ONNX file of the bundle, which the driver wrote.

A session has an intra-op pool of its own, and an inter-op pool that the sequential mode, its default, does not use.
"""

import os

from harness.backends import UnsupportedLayer, bundle

CALLS = ("run",)


class Backend:
    """See `harness.backends` for the protocol. A model is the InferenceSession itself."""

    name = "onnxruntime"

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
        if self.intra is None and self.inter is None:
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
        return options


def _run(session):
    return lambda rows: session.run(None, {"rows": rows})[0]


CALLERS = dict(zip(CALLS, (_run,)))
