"""The `jax` backend: Keras 3 on JAX, on the CPU. Each shape of rows is compiled when it is first asked for.

XLA's pool of threads is as large as NPROC says, read once when the client is made (xla/pjrt/cpu, DefaultThreadPoolSize).
"""

import os

from harness.backends import keras3

CALLS = keras3.CALLS


class Backend(keras3.Backend):
    """See `harness.backends` for the protocol. A model is the Keras model itself."""

    name = "jax"
    engine = library = "jax"

    def configure(self, intra, inter, cache_dir):
        os.environ["JAX_PLATFORMS"] = "cpu"
        if intra is not None:
            os.environ["NPROC"] = str(intra)
        keras3.Backend.configure(self, intra, inter, cache_dir)
