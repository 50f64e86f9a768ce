"""Which Celery pool and which Keras backend to serve a model with, and why: measured, not told.

The map. *An experiment is expanded to cells; a run makes trials of them; a trial is observed and judged; it becomes a record;
records are summarised; summaries decide.* The rooms, in the order in which a run calls them:

    cli             the command line: verbs, and errors as exit codes
    experiment      what is asked for: experiments, cells, pools, traffic, seeds
    run             a whole run: planned, prepared, carried out, on record
    environments    a venv per backend, built from pinned locks
    workloads       the models and their inputs
    backends        an engine, with its Keras or without: served, and to paste   (read by Python 3.7, too)
    worker          the Celery application under test, and what listens    (read by Python 3.7, too)
    client          the load generator, a process of its own
    broker          the embedded Valkey, or the user's own
    trial           one cell, run once: started, watched, stopped
    observe         what is seen of a worker from outside
    judge           whether progress can come, how it ended, why: pure
    measure         pace, CPU, memory, and what speaks against a figure
    machine         this computer, and the processes on it
    records         what is kept of a trial
    certainty       intervals and comparisons of figures
    summary         a row per cell
    live            a worker that runs, looked at from outside: what it is stuck in
    atlas           what was measured before, shipped: outcomes by engine, pool, placement, call, size
    report          a run as a page, as a table, in a notebook
    decide          compare, combine, recommend, tune, bisect
    studies         claims, incidents, contracts of the pools
    applications    somebody's own application: checked, probed, tuned, gated, held to contracts
    proof           the instrument itself on trial
    display, notebook, pytest_plugin    other ways in and out
    errors, places, texts, terminal, extras     what every room may need

This file is read by every interpreter (the driver's and each worker's, down to Python 3.7), so it imports nothing.
"""

__version__ = "0.1.0"

#: From the bottom up. A room imports rooms of lower layers only; `tests/test_map.py` holds the code to it.
LAYERS = (
    ("errors", "places"),
    ("extras", "terminal"),
    ("texts", "backends", "certainty"),
    ("machine", "worker"),
    ("broker", "environments", "workloads"),
    ("experiment",),
    ("records",),
    ("client", "observe"),
    ("judge",),
    ("measure",),
    ("trial", "summary"),
    ("display",),
    ("run",),
    ("atlas",),
    ("live",),
    ("decide",),
    ("report", "studies"),
    ("applications",),
    ("proof", "notebook", "pytest_plugin"),
    ("cli",),
)


def __getattr__(name):  # type: ignore[no-untyped-def]
    """`harness.load(folder)`, see `harness.notebook`; imported when it is asked for, and by the driver's interpreter only."""
    if name == "load":
        from harness.notebook import load

        return load
    raise AttributeError(name)
