"""The `sklearn` backend: scikit-learn's MLPRegressor, given the weights of the bundle. Dense layers alone.

`MLPRegressor` has one activation for all hidden layers and none at the end (scikit-learn, `_forward_pass`), so other chains
are refused. Its only threads are those of NumPy's and SciPy's BLAS.
"""

from harness.backends import UnsupportedLayer, environment, plain_layers

CALLS = ("predict", "joblib", "joblib-threads", "process-pool")
JOBS = 2

#: Keras' name -> scikit-learn's
ACTIVATIONS = {"linear": "identity", "relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


class Backend:
    """See `harness.backends` for the protocol. A model is the MLPRegressor itself."""

    name = "sklearn"

    def configure(self, intra, inter, cache_dir):
        environment.blas_threads(intra)

    def import_library(self, bundle_dir):
        import sklearn.neural_network

        return sklearn

    def build(self, bundle_dir):
        """An estimator that was never fitted, which is all that scikit-learn has without weights."""
        return self._made(plain_layers.read(bundle_dir))

    def load(self, bundle_dir):
        layers = plain_layers.read(bundle_dir)
        model = self._made(layers)
        kernels, biases = zip(*(layer.weights for layer in layers))
        # What `fit` leaves (scikit-learn, `_initialize`, `_validate_input`).
        model.coefs_, model.intercepts_ = list(kernels), list(biases)
        model.n_layers_, model.n_outputs_, model.out_activation_ = len(layers) + 1, len(biases[-1]), "identity"
        model.n_features_in_, model.n_iter_, model.t_ = len(kernels[0]), 0, 0
        return model

    def caller(self, model, call):
        return CALLERS[call](model)

    def save(self, model, path):
        import joblib

        joblib.dump(model, path)

    def versions(self):
        import sklearn

        return {"scikit-learn": sklearn.__version__}

    def _made(self, layers):
        import sklearn.neural_network

        plain_layers.refuse(layers, "scikit-learn's MLPRegressor", ("Dense",))
        hidden = {layer.config["activation"] for layer in layers[:-1]} or {"linear"}
        last = layers[-1].config["activation"]
        if len(hidden) > 1 or not hidden <= set(ACTIVATIONS) or last != "linear":
            raise UnsupportedLayer("Dense", "scikit-learn's MLPRegressor has one activation, and none in the last layer")
        sizes = tuple(layer.config["units"] for layer in layers[:-1])
        return sklearn.neural_network.MLPRegressor(hidden_layer_sizes=sizes, activation=ACTIVATIONS[hidden.pop()])


def _predict(model):
    return model.predict


def _joblib(model):
    """Both jobs predict the same rows, as the members of an ensemble do; the first one's answer is the answer."""
    import joblib

    return lambda rows: joblib.Parallel(n_jobs=JOBS)(joblib.delayed(model.predict)(rows) for _ in range(JOBS))[0]


def _joblib_threads(model):
    import joblib

    return lambda rows: joblib.Parallel(n_jobs=JOBS, prefer="threads")(
        joblib.delayed(model.predict)(rows) for _ in range(JOBS)
    )[0]


def _process_pool(model):
    import multiprocessing

    def answer(rows):
        with multiprocessing.Pool(JOBS) as pool:
            return pool.map(model.predict, [rows] * JOBS)[0]

    return answer


CALLERS = dict(zip(CALLS, (_predict, _joblib, _joblib_threads, _process_pool)))
