"""The `jax` backend to paste: Keras 3 on JAX."""

from harness.backends.cookbook.keras3 import Keras3


class Cookbook(Keras3):
    imports = "import keras, jax"
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}

    def limiting(self, intra, inter):
        return {"NPROC": str(intra)}
