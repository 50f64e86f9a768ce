"""What would help against a cause (see `causes`): words for who owns the code, and sibling cells that would show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.experiment.matrix import AS_WRITTEN, Cell
from harness.judge.causes import FORKED, SPAWNED


@dataclass(frozen=True, kw_only=True)
class Fix:
    """Something that would help, and the sibling cell that would show it; None if no cell of ours can."""

    text: str
    cell: Cell | None


LOAD_LATER = "load the model after the fork, in the first task"
LOAD_IN_CHILD = "load the model in worker_process_init, with a start window that is long enough"
FIXES = {
    "fork-lost-threads": ("first-task", "process-init", "spawn", "threads", "solo", "one-thread"),
    "fork-held-lock": ("first-task", "process-init", "spawn", "threads"),
    "fork-shared-connection": ("spawn", "threads"),
    "hub-blocked": ("prefork", "threads"),
    "gil-held": ("prefork",),
    "respawn-loop": ("start-window", "first-task"),
    "lost-message": (),
    "acknowledged-late": ("prefork", "threads"),
}


#: In somebody's own application: what its owner can change there.
THEIRS = {
    "fork-lost-threads": "make what has threads of its own (a model, an executor, a loader) in each child, not at import",
    "fork-held-lock": "let no thread hold it at the fork: start that thread in each child, import modules before any thread",
    "fork-shared-connection": "open the connection in each child, in the task or in worker_process_init, not at import",
    "respawn-loop": (
        "mend what the log's last error names; if that is 'Timed out waiting for UP message', raise worker_proc_alive_timeout "
        "above what worker_process_init takes, or do that work in the first task"
    ),
    "deadlock": (
        "mend the code at the place that the stack names: take locks in one order and never twice, and give each "
        "wait for a lock, an event or a process a time limit"
    ),
    "stopped": "find out who stopped it (kill -STOP, a debugger); SIGCONT lets it go on",
    "hub-blocked": "keep calls that block out of greenlets: prefork and threads can carry them",
    "gil-held": "mend the extension that waits with the GIL held; prefork keeps the other requests going",
    "cannot-unpickle": (
        "raise in tasks only what the main process can make again: exceptions of a module that it can import as well, and that "
        "pickle can copy (pickle.loads(pickle.dumps(error))); or catch them in the task, and raise a ValueError with their text"
    ),
    "asked-to-end": (
        "find out who asks: a task that calls app.control.shutdown or signals its worker, a deployment, a supervisor; whoever "
        "does must start another worker, for until then nobody serves"
    ),
    "oom-killed": "give it more memory, or fewer processes",
}
END_WAITS = "give the wait an end: a timeout of the connection (socket_timeout), or a soft time limit in prefork"
TAKE_LOCKS = "look above that line for locks that are taken twice, or in another order; acquire(timeout=…) shows where"
END_RETRIES = (
    "mend what makes the task retry, which the worker's log names in its line 'Retry in …'; or wait for the next try: a "
    "--limit-s above the task's delay, which is 180 s if neither countdown, retry_backoff nor default_retry_delay is given"
)
END_REQUEUES = (
    "mend what makes the task reject its message; or let it retry with a countdown and max_retries, so that it takes the "
    "worker's time neither at once again nor for ever"
)
START_SPAWNED = (
    "start processes in a task by spawn (multiprocessing.get_context('spawn')), or use prefork; a library may fork as well, as "
    "OpenVINO's telemetry does"
)
#: words of a reason -> what helps; of several, the first one counts
BY_WORDS = {
    "they may wait for": "",  # another task, see `applications.probe.words`
    "waits for a lock or condition": TAKE_LOCKS,  # see `observe.waits`
    "put off by a retry": END_RETRIES,  # see `judge.outcome`, here and in the next two
    "of the worker inside a task": START_SPAWNED,
    "Reject with requeue": END_REQUEUES,
    "waits for TCP": END_WAITS,
    "waits for UDP": END_WAITS,
}
POOLS_OF_FIXES = ("spawn", "threads", "prefork", "solo")


def against_waiting(reason: str) -> str:
    """What helps somebody whose task waits without an end, by the judge's reason; '' if that says it, or says too little."""
    return next((remedy for words, remedy in BY_WORDS.items() if words in reason), "")


def fixes(cell: Cell, cause: str) -> list[Fix]:
    """What would help against this cause, as cells of the same backend, workload and call.

    Where somebody's own application loads its model is not ours to place, so that no cell shows another placement of it.
    """
    found = {
        "first-task": Fix(text=LOAD_LATER, cell=replace(cell, placement="first-task")),
        "process-init": Fix(text=LOAD_IN_CHILD, cell=replace(cell, placement="process-init")),
        "spawn": Fix(text="start children by spawn (--pool-start-method spawn)", cell=replace(cell, pool=SPAWNED)),
        "threads": Fix(text="use --pool threads", cell=replace(cell, pool="threads")),
        "prefork": Fix(text="use --pool prefork", cell=replace(cell, pool=FORKED)),
        "solo": Fix(text="use --pool solo", cell=replace(cell, pool="solo", concurrency=1)),
        "one-thread": Fix(text="one intra-op and one inter-op thread", cell=replace(cell, engine_threads="1x1")),
        "start-window": Fix(text="raise worker_proc_alive_timeout", cell=replace(cell, start_window_s=0.0)),
    }
    if cell.placement == AS_WRITTEN:
        theirs = [Fix(text=THEIRS[cause], cell=None)] if cause in THEIRS else []
        return theirs + [found[name] for name in FIXES.get(cause, ()) if name in POOLS_OF_FIXES and found[name].cell != cell]
    return [found[name] for name in FIXES.get(cause, ()) if found[name].cell != cell]
