"""The `tensorflow2` backend: Keras 3 on TensorFlow 2. The one that reads a user's model file as it is."""

import os

from harness.backends import bundle, environment, keras3

CALLS = keras3.CALLS


class Backend(keras3.Backend):
    """See `harness.backends` for the protocol. A model is the Keras model itself."""

    name = "tensorflow2"
    engine = library = "tensorflow"

    def configure(self, intra, inter, cache_dir):
        environment.quiet_cpu_tensorflow()
        keras3.Backend.configure(self, intra, inter, cache_dir)

    def limit_threads(self, library):
        threading = library.config.threading
        if self.intra is not None:
            threading.set_intra_op_parallelism_threads(self.intra)
        if self.inter is not None:
            threading.set_inter_op_parallelism_threads(self.inter)

    def load(self, bundle_dir):
        file = bundle.read_model(bundle_dir).get("file")
        if file is None:
            return keras3.Backend.load(self, bundle_dir)
        keras = self.import_library(bundle_dir)
        return keras.models.load_model(os.path.join(bundle_dir, file), compile=False, safe_mode=True)
