"""Does Theano compute with a real BLAS? Its rates beside NumPy's in the same process, and what its code is linked to.

Run as `python -m harness.backends.theano_probe` in the theano environment when it is built; prints one line of JSON.
Rates are GFLOP/s, the best of several rounds in turn, float32. Python 3.7; Theano is imported inside functions.
"""

import json
import logging
import os
import time

SIZE = 1500
ROUNDS = 9
# A convolution in the middle of a CNN: 8 pictures of 64 channels, 56 x 56 after 128 filters of 3 x 3.
BATCH, CHANNELS, FILTERS, EDGE, KERNEL = 8, 64, 128, 56, 3


class Warnings(logging.Handler):
    """Keeps what Theano warns of."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def libraries(part):
    """Paths of the loaded shared libraries with `part` in them."""
    with open("/proc/self/maps") as file:
        paths = {line.split(None, 5)[5].strip() for line in file if line.count("/")}
    return {path for path in paths if part in path and ".so" in path}


def linked_to_blas(modules):
    """Whether one of these compiled modules names an OpenBLAS among the libraries it needs and calls its sgemm."""
    for path in modules:
        with open(path, "rb") as file:
            content = file.read()
        if b"libopenblas" in content and b"sgemm_" in content:
            return True
    return False


def compiled(inputs, output):
    """The function, the names of its operations, whether all have C code, and whether that is linked to the BLAS."""
    import theano

    before = libraries(theano.config.compiledir)
    function = theano.function(inputs, output)
    modules = libraries(theano.config.compiledir) - before
    names = [type(node.op).__name__ for node in function.maker.fgraph.toposort()]
    in_c = all(getattr(thunk, "cthunk", None) is not None for thunk in function.fn.thunks)
    return function, names, in_c, linked_to_blas(modules)


def best_rates(operations, calls):
    """GFLOP/s of each call, tried in turn so that a busy moment hurts them alike."""
    best = [float("inf")] * len(calls)
    for call in calls:
        call()
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            begin = time.perf_counter()
            call()
            best[index] = min(best[index], time.perf_counter() - begin)
    return [round(operations / seconds / 1e9, 2) for seconds in best]


def gemm(random):
    """The product of two square matrices."""
    import theano.tensor

    a, b = (random.rand(SIZE, SIZE).astype("float32") for _ in range(2))
    left, right = theano.tensor.fmatrices(2)
    function, names, in_c, linked = compiled([left, right], theano.tensor.dot(left, right))
    ours, numpys = best_rates(2.0 * SIZE**3, [lambda: function(a, b), lambda: a.dot(b)])
    return {
        "gemm_ops": names,
        "gemm_in_c": in_c,
        "gemm_linked": linked and any(name in ("Dot22", "Gemm") for name in names),
        "gemm_gflops": ours,
        "numpy_gemm_gflops": numpys,
        "gemm_ratio": round(ours / numpys, 3),
    }


def convolution(random):
    """A conv2d, beside the bare matrix products in it as NumPy does them: an upper limit, for they unfold nothing."""
    import theano.tensor

    pictures = random.rand(BATCH, CHANNELS, EDGE + KERNEL - 1, EDGE + KERNEL - 1).astype("float32")
    filters = random.rand(FILTERS, CHANNELS, KERNEL, KERNEL).astype("float32")
    unfolded = random.rand(CHANNELS * KERNEL**2, EDGE**2).astype("float32")
    flat = filters.reshape(FILTERS, -1)
    image, kernel = theano.tensor.ftensor4(), theano.tensor.ftensor4()
    function, names, in_c, linked = compiled([image, kernel], theano.tensor.nnet.conv2d(image, kernel))
    operations = 2.0 * BATCH * FILTERS * CHANNELS * KERNEL**2 * EDGE**2
    calls = [lambda: function(pictures, filters), lambda: [flat.dot(unfolded) for _ in range(BATCH)]]
    ours, numpys = best_rates(operations, calls)
    return {
        "conv_ops": names,
        "conv_in_c": in_c,
        "conv_linked": linked and "CorrMM" in names,
        "conv_gflops": ours,
        "numpy_conv_products_gflops": numpys,
        "conv_ratio": round(ours / numpys, 3),
    }


def facts():
    """Everything measured, as plain data."""
    heard = Warnings()
    logging.getLogger("theano").addHandler(heard)
    import numpy
    import theano

    random = numpy.random.RandomState(0)
    result = {"size": SIZE, "cores": len(os.sched_getaffinity(0)), "ldflags": theano.config.blas.ldflags}
    result.update(gemm(random))
    result.update(convolution(random))
    result["blas_libraries"] = sorted(os.path.basename(path) for path in libraries("openblas"))
    result["numpy_fallback"] = any("NumPy C-API" in text for text in heard.texts)
    result["warnings"] = heard.texts
    return result


if __name__ == "__main__":
    print(json.dumps(facts()))
