"""Small applications of one's own, and the grid that is searched for each.

They differ in what limits them. Three use the cores: Python code that holds the interpreter's lock, native code in threads of
its own, and an answer that is waited for beside a little arithmetic, several hundred times per second. What they reach differs
by a tenth from trial to trial on a machine that others use, too, so that five trials do not tell which of forty alike is best.
Three leave the cores at rest, as a model on an accelerator or on another host does, and their best one can be told: a native
call that keeps the interpreter's lock, one that lets it go, and an answer that is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

APP, TASK, FILE = "jobs:app", "jobs.ask", "jobs.py"
#: the forest predicts tree by tree, in Python code for the most part
FOREST = '''"""Digits, told apart by a forest of scikit-learn."""

from celery import Celery
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

app = Celery("jobs")
rows, labels = load_digits(return_X_y=True)
forest = RandomForestClassifier(40, max_depth=8, random_state=0).fit(rows, labels)


@app.task(name="jobs.ask")
def ask(first):
    return forest.predict(rows[first : first + 50]).tolist()
'''
#: LightGBM computes in as many threads of OpenMP as there are cores, in each executor
BOOSTED = '''"""A sum that LightGBM foretells, in threads of OpenMP."""

import lightgbm
import numpy as np
from celery import Celery

app = Celery("jobs")
dice = np.random.default_rng(0)
table = dice.normal(size=(4000, 20))
target = table[:, 0] * table[:, 1] + np.sin(table[:, 2])
model = lightgbm.train({"verbose": -1, "num_leaves": 63, "num_threads": 1}, lightgbm.Dataset(table, target), 150)


@app.task(name="jobs.ask")
def ask(first):
    return float(model.predict(table[first : first + 400], num_threads=0).sum())
'''
WAITS = '''"""An answer that another host gives, and a little arithmetic."""

import time

from celery import Celery

app = Celery("jobs")


@app.task(name="jobs.ask")
def ask(number):
    time.sleep(0.015)  # stands for the other host
    total = number
    for step in range(10_000):
        total = (total * 31 + step) % 1_000_003
    return total
'''
NATIVE = '''"""An accelerator's answer, by a native call that {how}."""

import ctypes

from celery import Celery

app = Celery("jobs")
libc = ctypes.{library}(None)


@app.task(name="jobs.ask")
def ask(number):
    libc.usleep(40_000)  # stands for the accelerator
    return number * 31 % 1_000_003
'''
REMOTE = '''"""An answer that another host gives, sooner or later."""

import time

from celery import Celery

app = Celery("jobs")


@app.task(name="jobs.ask")
def ask(milliseconds):
    time.sleep(milliseconds / 1000)  # stands for the other host
    return milliseconds * 31 % 1_000_003
'''


@dataclass(frozen=True, kw_only=True)
class Project:
    """`environment`: of the harness, in which it runs. `requests`: of each recorded trial, at least. The rest as the options of
    `harness tune` take it."""

    environment: str
    source: str
    args: str
    concurrency: str
    traffic: str = "closed-4"
    prefetch: str = "1,4,16"
    max_tasks: str = "0,100"
    vary: tuple[str, ...] = ()
    requests: int = 50


PROJECTS = {
    "forest": Project(
        environment="sklearn", source=FOREST, args="[[0], [100], [400], [900]]", concurrency="1,2,4",
        vary=("MALLOC_ARENA_MAX=2",),
    ),
    "boosted": Project(
        environment="lightgbm", source=BOOSTED, args="[[0], [100], [400], [900]]", concurrency="1,2,4",
        vary=("OMP_NUM_THREADS=1",),
    ),
    "waits": Project(
        environment="celery", source=WAITS, args="[[1], [2], [3], [4]]", concurrency="1,2,3,4,6,8", traffic="closed-8",
    ),
    "holds": Project(
        environment="celery", source=NATIVE.format(how="keeps the interpreter's lock", library="PyDLL"),
        args="[[1], [2], [3], [4]]", concurrency="1,2,3,4,6,8", traffic="closed-8", requests=20,
    ),
    "releases": Project(
        environment="celery", source=NATIVE.format(how="lets the interpreter's lock go", library="CDLL"),
        args="[[1], [2], [3], [4]]", concurrency="1,2,3,4,6,8", traffic="closed-8", requests=20,
    ),
    "remote": Project(
        environment="celery", source=REMOTE, args="[[45], [50], [55], [60]]", concurrency="1,2,3,4,6,8", traffic="closed-8",
        requests=20,
    ),
}  # fmt: skip


def made(project: Project, folder: Path) -> Path:
    """The application in `folder`, which is made; the file of its arguments."""
    folder.mkdir(parents=True)
    (folder / FILE).write_text(project.source)
    args = folder / "args.json"
    args.write_text(project.args)
    return args
