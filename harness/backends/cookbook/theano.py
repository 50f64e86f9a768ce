"""The `theano` backend to paste: Keras 2.3.1 on Theano 1.0.5, whose only threads are those of its BLAS."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    model_file = "model.h5"  # Keras 2 reads no .keras file
    imports = "import keras  # KERAS_BACKEND=theano, measured with Theano linked to OpenBLAS (blas.ldflags in THEANO_FLAGS)"
    loaded = "keras.models.load_model({path}, compile=False)"
    calls = {
        "predict": Call("{model}.predict({rows})"),
        "predict_on_batch": Call("{model}.predict_on_batch({rows})"),
    }
    environment = {"KERAS_BACKEND": "theano", "CUDA_VISIBLE_DEVICES": "", "THEANO_FLAGS": "device=cpu,floatX=float32"}

    def limiting(self, intra, inter):
        return {"OMP_NUM_THREADS": str(intra), "OPENBLAS_NUM_THREADS": str(intra)}
