"""The `keras_torch` backend: Keras 3 on PyTorch, on the CPU. `torch` is PyTorch without Keras."""

from harness.backends import keras3

CALLS = keras3.CALLS


class Backend(keras3.Backend):
    """See `harness.backends` for the protocol. A model is the Keras model itself, which is a Module of PyTorch, too."""

    name = "keras_torch"
    engine = library = "torch"

    def limit_threads(self, library):
        if self.intra is not None:
            library.set_num_threads(self.intra)
        if self.inter is not None and library.get_num_interop_threads() != self.inter:
            library.set_num_interop_threads(self.inter)  # raises if asked a second time

    def caller(self, model, call):
        return CALLERS[call](model)


def _direct(model):
    import torch

    def answer(rows):
        with torch.inference_mode():
            return model(rows, training=False).numpy()

    return answer


CALLERS = dict(keras3.CALLERS, direct=_direct)
