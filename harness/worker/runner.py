"""One model in one process: load it, predict one request's rows. Used by the Celery app and by the in-process baseline.

The same object serves every placement but `each-thread` and `each-task`, which make more of them (`Own`); who calls `load`, and
where, is the placement (see `app`).
"""

import os
import threading

from harness import backends
from harness.worker import contract, heartbeat

DEEDS = {"import": "import_library", "build": "build"}


class Runner:
    """Holds the loaded model's call. `spec` is the trial's JSON, see `contract.SPEC_KEYS`."""

    def __init__(self, spec):
        self.spec = spec
        self._predict = None
        self.unfinished = None  # what `prepare` made: kept, as a user's module keeps it
        self.rows_stored = None
        self._lock = threading.Lock()

    @property
    def loaded(self):
        return self._predict is not None

    def load(self):
        """Import the ML library, build the model, keep its call. Raises backends.UnsupportedLayer."""
        spec = self.spec
        heartbeat.emit(contract.LOAD_BEGIN)
        backend = self._configured()
        import numpy  # not before: OpenBLAS reads its number of threads when NumPy is imported

        if hasattr(backend, "set_options"):
            backend.set_options(spec["options"])
        try:
            model = backend.load(spec["bundle"])
            self.rows_stored = numpy.load(os.path.join(spec["bundle"], "inputs.npy"), mmap_mode="r")
            self._predict = backend.caller(model, spec["call"])
        except backends.UnsupportedLayer as error:
            self._say_unsupported(error)
            raise
        finally:  # a load that raised has ended, too
            heartbeat.emit(contract.LOAD_END)

    def prepare(self, deed):
        """Go only so far: `import` the ML library, `build` the model, `load` it, or `predict` once, too."""
        if deed in ("load", "predict"):
            self.load()
        else:
            heartbeat.emit(contract.LOAD_BEGIN)
            try:
                self.unfinished = getattr(self._configured(), DEEDS[deed])(self.spec["bundle"])
            except backends.UnsupportedLayer as error:
                self._say_unsupported(error)
                raise
            finally:
                heartbeat.emit(contract.LOAD_END)
        if deed == "predict":
            self.predict_in_parent()

    def predict_in_parent(self):
        """Answer the first request's rows, and tell of it as the parent's doing."""
        heartbeat.emit(contract.PARENT_PREDICT_BEGIN)
        self.predict(self.rows(0))
        heartbeat.emit(contract.PARENT_PREDICT_END)

    def _configured(self):
        spec = self.spec
        backend = backends.get(spec["backend"])
        backend.call = spec["call"]  # some engines make a session for the way it is asked
        backend.configure(intra=spec["intra"], inter=spec["inter"], cache_dir=spec["cache_dir"])
        return backend

    def load_once(self):
        """For lazy loading: the first task of this process loads, tasks beside it wait for that one load."""
        with self._lock:
            if not self.loaded:
                self.load()

    def rows(self, row):
        """The input of a request, float32 (batch, *input_shape): `batch` rows from `row` on, going round."""
        import numpy

        batch, n = self.spec["batch"], len(self.rows_stored)
        return numpy.ascontiguousarray(self.rows_stored[[(row + i) % n for i in range(batch)]])

    def predict(self, rows):
        """The model's answer, (batch, outputs)."""
        return self._predict(rows)

    def _say_unsupported(self, error):
        path = os.path.join(self.spec["events_dir"], "unsupported.txt")
        with open(path, "w") as file:
            file.write(str(error))
        heartbeat.emit(contract.UNSUPPORTED)


class Own:
    """Runners that no other thread uses: one for each `thread`, or for each `task`, as the placement says."""

    def __init__(self, spec, placement):
        self.spec = spec
        self.kept = threading.local() if placement == "each-thread" else None

    def runner(self):
        """The one for this task, loaded."""
        if self.kept is None:
            return self._loaded()
        if not hasattr(self.kept, "runner"):
            self.kept.runner = self._loaded()
        return self.kept.runner

    def _loaded(self):
        runner = Runner(self.spec)
        runner.load()
        return runner
