"""Write a bundle's model as its own library saves it: `python -m harness.backends.save BACKEND BUNDLE CACHE OUT`.

Run in the backend's environment. The file is what the backend serves: with Theano's kernels turned, for example.
"""

import sys

from harness import backends


def main(name, bundle_dir, cache_dir, out):
    backend = backends.get(name)
    backend.configure(None, None, cache_dir)
    loaded = backend.load(bundle_dir)
    if hasattr(backend, "save"):
        backend.save(loaded, out)
        return
    model = getattr(loaded, "model", loaded)
    if out.endswith(".h5"):
        import keras

        # Keras 2 does not save the shape of a Sequential's input, and then loads a model without layers
        model = keras.models.Model(model.inputs, model.outputs)
    model.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
