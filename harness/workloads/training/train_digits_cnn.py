"""Trains digits-cnn and writes data/digits_cnn.npz. Needs Keras 3; run once, the file is committed.

    python -m harness.workloads.training.train_digits_cnn      (in the tensorflow2 environment)

Seeded, but engines and machines round differently, so another run gives other, equally good weights. Training sees
only the training part; the accuracy on the held-out part is printed and held to MINIMUM_ACCURACY.
"""

import keras
import numpy as np

from harness.backends import bundle, keras_layers
from harness.workloads import digits
from harness.workloads.digits_cnn import WEIGHTS_FILE, WORKLOAD

SEED = 1
EPOCHS = 40
BATCH = 32
MINIMUM_ACCURACY = 0.97


def main() -> None:
    """Train, check, write the weights in get_weights() order."""
    keras.utils.set_random_seed(SEED)
    spec = {"layers": list(WORKLOAD.spec), "input_shape": WORKLOAD.input_shape}
    model = keras_layers.build(keras, spec)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    model.fit(*digits.train(), batch_size=BATCH, epochs=EPOCHS, verbose=2)
    _, accuracy = model.evaluate(*digits.test(), verbose=0)
    print(f"accuracy on the held-out digits: {accuracy:.4f}")
    if accuracy < MINIMUM_ACCURACY:
        raise SystemExit(f"error: below {MINIMUM_ACCURACY}, the weights are not written")
    weights = {bundle.weight_name(i): weight for i, weight in enumerate(model.get_weights())}
    np.savez_compressed(WEIGHTS_FILE, **weights)


if __name__ == "__main__":
    main()
