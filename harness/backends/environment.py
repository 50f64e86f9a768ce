"""What the Keras backends set in the process environment before the ML library is imported.

Each backend's `configure` names the pieces it wants; which value wins is decided here. Standard library only.
"""

import os
import sys


def quiet_cpu_tensorflow():
    """No GPU, and no log lines below errors: both would differ from machine to machine."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def keras_on(engine, cache_dir):
    """Keras uses `engine`, and its settings file is our own: ~/.keras/keras.json may say channels_first or float64."""
    os.environ["KERAS_BACKEND"] = engine
    os.environ.setdefault("KERAS_HOME", os.path.join(cache_dir, "keras"))


def blas_threads(count):
    """Threads of OpenMP and OpenBLAS. Raises RuntimeError where NumPy, whose OpenBLAS reads them once, is there already."""
    wanted = {} if count is None else {"OMP_NUM_THREADS": str(count), "OPENBLAS_NUM_THREADS": str(count)}
    if "numpy" in sys.modules and any(os.environ.get(name) != value for name, value in wanted.items()):
        raise RuntimeError("NumPy was imported before its number of threads was set to %s" % count)
    os.environ.update(wanted)


def theano_flag(name, value):
    """Append to THEANO_FLAGS: Theano lets the last of equal names win, and the others (blas.ldflags) must survive."""
    flags = [flag for flag in os.environ.get("THEANO_FLAGS", "").split(",") if flag]
    os.environ["THEANO_FLAGS"] = ",".join(flags + ["%s=%s" % (name, value)])
