"""A configuration as a user sets it: the worker's command line, variables, Celery settings, code, systemd, compose. Pure.

Everything printed is what was measured, by the same options: nothing is added that no cell had. Where a cell sets something
that only code can set (where the model is loaded, how it is called, threads of TensorFlow), the code is given.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from harness.experiment.matrix import AUTO, Cell
from harness.experiment.pools import POOLS
from harness.trial.application import pool_arguments

APP = "proj.tasks:app"  # whatever the user's is called
MODEL = "model.keras"

LOADS = {
    "import": "MODEL = load()  # at module level: the main process loads, forked children inherit it",
    "import-predict": "MODEL = load()\nMODEL.predict(EXAMPLE)  # once, in the main process",
    "task-init": "class PredictTask(app.Task):\n    def __init__(self):\n        self.model = load()",
    "process-init": (
        "MODEL = None\n\n@signals.worker_process_init.connect\ndef load_in_child(**_):\n    global MODEL\n    MODEL = load()"
    ),
    "first-task": (
        "MODEL, LOCK = None, threading.Lock()\n\n"
        "def model():  # the first task of a process loads; tasks beside it wait for that one load\n"
        "    global MODEL\n    with LOCK:\n        if MODEL is None:\n            MODEL = load()\n    return MODEL"
    ),
}
CALLS = {
    "predict": "answer = {model}.predict(rows)",
    "predict_on_batch": "answer = {model}.predict_on_batch(rows)",
    "direct": "answer = numpy.asarray({model}(rows, training=False))",
    "graph": (
        "with GRAPH.as_default():  # GRAPH = tensorflow.get_default_graph(), right after the load\n"
        "    answer = {model}.predict(rows)"
    ),
    "graph-session": (
        "with GRAPH.as_default(), SESSION.as_default():  # both kept right after the load: get_default_graph(), get_session()\n"
        "    answer = {model}.predict(rows)"
    ),
}
QUIET = "answer = {model}.predict(rows, verbose=0)"
HOLDS = {"task-init": "self.model", "first-task": "model()"}
PLACES = {
    "import": "load the model at import",
    "import-predict": "load the model at import, and ask it once",
    "task-init": "load the model in the task's __init__",
    "process-init": "load the model in worker_process_init",
    "first-task": "load the model in the first task of each process",
}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What to paste. `environment` and `celery` by name; `code` in Python."""

    command: tuple[str, ...]
    environment: dict[str, str]
    celery: dict[str, str]
    code: str
    change: str  # in words
    folder: str = ""  # of somebody's own application: where it is started
    env_file: str = ""  # likewise: its variables

    @property
    def shell(self) -> str:
        """All that is typed, also into an empty shell: the folder, the variables, and the line."""
        enters = [f"cd {shlex.quote(self.folder)}"] if self.folder else []
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        file = [f"set -a; . {shlex.quote(_sourced(self.env_file))}; set +a"] if self.env_file else []
        return "\n".join([*enters, *exports, *file, self.line])

    @property
    def line(self) -> str:
        """For a shell."""
        return shlex.join(self.command)


def of(cell: Cell, application: Mapping[str, Any] | None = None) -> Setup:
    """How to run what the cell ran; `application`: somebody's own, which keeps its settings and its code."""
    if application is not None:
        return _own(cell, application)
    prefetch = ("--prefetch-multiplier", str(cell.prefetch))
    replaced = ("--max-tasks-per-child", str(cell.max_tasks)) if cell.max_tasks else ()
    pool = POOLS[cell.pool].command(cell.concurrency)
    return Setup(
        command=("celery", "--app", APP, "worker", *pool, *prefetch, *replaced, "--loglevel", "WARNING", "--without-mingle"),
        environment=_environment(cell),
        celery={
            "worker_prefetch_multiplier": str(cell.prefetch),
            "accept_content": '["json"]', "task_serializer": '"json"', "result_serializer": '"json"',
        },
        code=_code(cell),
        change=f"{PLACES[cell.placement]}; call it by `{cell.call}`",
    )  # fmt: skip


def _own(cell: Cell, application: Mapping[str, Any]) -> Setup:
    """As the probe started it, but for the private broker. `application`: with the paths of `Side.application`."""
    queues = ("--queues", application["queue"]) if application["queue"] else ()
    python = application.get("python", "")
    celery = (python, "-m", "celery") if python else ("celery",)
    pool = pool_arguments(cell, tuple(application.get("celery", ())))
    variables = dict(application.get("one_thread", {})) if cell.plain else {}
    change = "the application stays as it is written"
    return Setup(
        command=(*celery, "--app", application["app"], "worker", *pool, *queues, "--loglevel", "WARNING", "--without-mingle"),
        environment=variables, celery={}, code="",
        change=f"{change}; its native libraries are given one thread each" if variables else change,
        folder=application.get("folder", ""), env_file=application.get("env_file", ""),
    )  # fmt: skip


def _sourced(path: str) -> str:
    """A shell looks on PATH for a file that is named without a folder."""
    return path if "/" in path else f"./{path}"


def _environment(cell: Cell) -> dict[str, str]:
    found = {"KERAS_BACKEND": "theano" if cell.backend == "theano" else "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    if cell.backend == "theano":
        found["THEANO_FLAGS"] = "device=cpu,floatX=float32"
    intra, _ = _threads(cell)
    if intra is not None and cell.backend == "theano":
        found |= {"OMP_NUM_THREADS": str(intra), "OPENBLAS_NUM_THREADS": str(intra)}
    return found


def _threads(cell: Cell) -> tuple[int | None, int | None]:
    if cell.engine_threads == AUTO:
        return None, None
    intra, inter = map(int, cell.engine_threads.split("x"))
    return intra, inter


def _code(cell: Cell) -> str:
    """The parts of the user's module that matter."""
    held = HOLDS.get(cell.placement, "MODEL")
    quiet = cell.backend == "tensorflow2" and cell.call == "predict"  # Keras 3 draws a bar of progress if it is not told
    call = textwrap.indent((QUIET if quiet else CALLS[cell.call]).format(model=held), "    ")
    own = "self, " if cell.placement == "task-init" else ""
    base = "base=PredictTask, bind=True" if cell.placement == "task-init" else ""
    head = f"@app.task({base})\ndef predict({own}rows):\n    rows = numpy.asarray(rows, dtype='float32')"
    task = f"{head}\n{call}\n    return answer.tolist()"
    return "\n\n".join([_loader(cell), LOADS[cell.placement], task]) + "\n"


def _loader(cell: Cell) -> str:
    """How the model comes: with the ML library imported where it is loaded, and its threads set before."""
    intra, inter = _threads(cell)
    lines = ["def load():"]
    if cell.backend == "tensorflow2":
        lines += ["    import keras, tensorflow"]
        if intra is not None:
            lines += [
                f"    tensorflow.config.threading.set_intra_op_parallelism_threads({intra})",
                f"    tensorflow.config.threading.set_inter_op_parallelism_threads({inter})",
            ]
    elif cell.backend.startswith("tensorflow1"):
        lines += ["    import keras, tensorflow"]
        if intra is not None:
            config = f"intra_op_parallelism_threads={intra}, inter_op_parallelism_threads={inter}"
            lines += [f"    keras.backend.set_session(tensorflow.Session(config=tensorflow.ConfigProto({config})))"]
    else:
        lines += [
            "    import keras  # KERAS_BACKEND=theano, measured with Theano linked to OpenBLAS (blas.ldflags in THEANO_FLAGS)"
        ]
    return "\n".join([*lines, f"    return keras.models.load_model({MODEL!r}, compile=False)"])


def systemd(setup: Setup) -> str:
    """A unit: put it in /etc/systemd/system, and change what is in capitals."""
    variables = "".join(f'Environment="{name}={value}"\n' for name, value in setup.environment.items())
    if setup.env_file:
        variables += f"EnvironmentFile={setup.env_file if setup.folder else f'/PATH/TO/{PurePath(setup.env_file).name}'}\n"
    line = setup.line if setup.command[0] != "celery" else f"/PATH/TO/VENV/bin/{setup.line}"
    return (
        "[Unit]\nDescription=Celery worker that serves a model\nAfter=network.target\n\n[Service]\nUser=USER\n"
        f"WorkingDirectory={setup.folder or '/PATH/TO/PROJECT'}\n{variables}ExecStart={line}\n"
        "KillMode=mixed\nTimeoutStopSec=60\nRestart=on-failure\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def compose(setup: Setup) -> str:
    """A service for a compose file."""
    variables = "".join(f'      {name}: "{value}"\n' for name, value in setup.environment.items())
    environment = f"    environment:\n{variables}" if variables else ""
    environment += f'    env_file: "{setup.env_file}"\n' if setup.env_file else ""
    words = setup.command if setup.command[0] == "celery" else ("python", *setup.command[1:])  # of the image
    command = ", ".join(f'"{word}"' for word in words)
    return (
        f"services:\n  worker:\n    image: IMAGE\n    command: [{command}]\n{environment}"
        "    init: true\n    stop_grace_period: 60s\n    restart: on-failure\n"
    )
