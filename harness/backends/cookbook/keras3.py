"""What the pages of all engines of Keras 3 share."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Keras3(book.Cookbook):
    model_file = "model.keras"
    loaded = "keras.models.load_model({path}, compile=False)"
    calls = {
        "predict": Call("{model}.predict({rows}, verbose=0)"),  # Keras 3 draws a bar of progress if it is not told
        "predict_on_batch": Call("{model}.predict_on_batch({rows})"),
        "direct": Call("numpy.asarray({model}({rows}, training=False))"),
    }
