"""The `null` control: answers at once, and rightly, by looking the rows up. What is left is everybody else's overhead."""

import os

CALLS = ("predict",)


class Backend:
    """See `harness.backends` for the protocol. A model is the table from a row's bytes to its reference answer."""

    name = "null"

    def configure(self, intra, inter, cache_dir):
        pass

    def load(self, bundle_dir):
        import numpy

        rows = numpy.load(os.path.join(bundle_dir, "inputs.npy"))
        answers = numpy.load(os.path.join(bundle_dir, "reference.npy"))
        return {row.tobytes(): answer for row, answer in zip(rows, answers)}

    def caller(self, model, call):
        import numpy

        return lambda rows: numpy.array([model[row.tobytes()] for row in rows])

    def versions(self):
        return {}
