"""Where a worker loads its model, as code to paste: one entry per placement, the same for every backend.

`book.Cookbook` puts them between `load()` and the task. What our own worker does at each placement is in `harness.worker.app`.
"""

from typing import Dict, NamedTuple


class Placement(NamedTuple):
    """`words`: in a sentence. `code`: what calls `load()`; `{ask}` in it stands for one call of the model with EXAMPLE.

    `model`: how the task names its model, `lazy` if that is what loads it. `base`: the class of the task, if it needs one.
    """

    words: str
    code: str
    model: str = "MODEL"
    lazy: bool = False
    base: str = ""


PLACEMENTS: Dict[str, Placement] = {
    "import": Placement(
        words="load the model at import",
        code="MODEL = load()  # at module level: the main process loads, forked children inherit it",
    ),
    "import-predict": Placement(
        words="load the model at import, and ask it once",
        code="MODEL = load()\n{ask}  # once, in the main process",
    ),
    "task-init": Placement(
        words="load the model in the task's __init__",
        code="class PredictTask(app.Task):\n    def __init__(self):\n        self.model = load()",
        model="self.model",
        base="PredictTask",
    ),
    "process-init": Placement(
        words="load the model in worker_process_init",
        code=(
            "MODEL = None\n\n"
            "@signals.worker_process_init.connect\ndef load_in_child(**_):\n    global MODEL\n    MODEL = load()"
        ),
    ),
    "first-task": Placement(
        words="load the model in the first task of each process",
        code=(
            "MODEL, LOCK = None, threading.Lock()\n\n"
            "def model():  # the first task of a process loads; tasks beside it wait for that one load\n"
            "    global MODEL\n    with LOCK:\n        if MODEL is None:\n            MODEL = load()\n    return MODEL"
        ),
        model="model()",
        lazy=True,
    ),
    "each-thread": Placement(
        words="load a model in the first task of each thread",
        code=(
            "OWN = threading.local()\n\n"
            "def model():  # each thread has a model of its own; in a green pool each greenlet, so that each task loads one\n"
            "    if not hasattr(OWN, 'model'):\n        OWN.model = load()\n    return OWN.model"
        ),
        model="model()",
        lazy=True,
    ),
    "each-task": Placement(
        words="load the model in each task anew", code="# each task calls load()", model="load()", lazy=True
    ),
}
