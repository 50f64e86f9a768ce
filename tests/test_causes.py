"""From made-up facts to a cause, and from records to what would help."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.judge.blocked import How
from harness.judge.causes import Facts, cause_of
from harness.judge.remedies import END_RETRIES, END_WAITS, FIXES, TAKE_LOCKS, THEIRS, against_waiting, fixes
from harness.observe.stacks import frames_of
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.summary import diagnoses
from tests import handmade

ENGINE = (
    "syscall (libc.so.6)",
    "absl::synchronization_internal::FutexWaiter::Wait (tf.so)",
    "absl::Notification::WaitForNotification (tf.so)",
    "tensorflow::ProcessFunctionLibraryRuntime::RunSync (tf.so)",
)
LOCK = ("sem_wait (libc.so.6)", "PyThread_acquire_lock_timed (libpython.so)", "load_once (runner.py:3)")
WAITS = (*LOCK[:2], "Condition.wait (threading.py:331)", "Event.wait (threading.py:629)", "predict (tasks.py:30)")
IMPORTS = (*LOCK[:2], "_ModuleLock.acquire (<frozen importlib._bootstrap>:120)", "predict (tasks.py:26)")
NAMELESS = (*["0x7f978c023efe (libc.so.6)"] * 7, "load_once (runner.py:3)")
HUNG = {"outcome": Outcome.HUNG, "pool": "prefork", "how": How.FUTEX}
WRONG = {"outcome": Outcome.WRONG, "pool": "prefork"}
SHARES = {"shared": ("TCP 127.0.0.1:6379",)}
SILENT = {"outcome": Outcome.WAITING, "consumers": 0, "held": True}
SERIAL = {**HUNG, "serial_waits": True}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("an engine's threads are lost", {**HUNG, "frames": ENGINE, "lost_native": ["tf_Compute"]}, "fork-lost-threads"),
    ("an executor's threads are lost", {**HUNG, "frames": WAITS, "lost_python": ["python"]}, "fork-lost-threads"),
    (
        "a thread of the parent's that has ended since",
        {**HUNG, "frames": WAITS, "lost_native": ["python"]},
        "fork-lost-threads",
    ),
    ("a module's import", {**HUNG, "frames": IMPORTS, "lost_python": ["python"]}, "fork-held-lock"),
    ("an import of a thread that has ended since", {**HUNG, "frames": IMPORTS}, "fork-held-lock"),
    ("an import in threads", {**HUNG, "frames": IMPORTS, "pool": "threads"}, "deadlock"),
    ("a wait in vain, with a limit", {**WRONG, "frames": WAITS, "lost_native": ["python"]}, "fork-lost-threads"),
    ("wrong answers, over a connection that was opened before the fork", {**WRONG, **SHARES}, "fork-shared-connection"),
    ("a wait for an answer that another child took", {**WRONG, **SHARES, "outcome": Outcome.WAITING}, "fork-shared-connection"),
    (
        "a lost thread, beside such a connection",
        {**WRONG, **SHARES, "frames": WAITS, "lost_native": ["x"]},
        "fork-lost-threads",
    ),
    ("a lock's holder is lost", {**HUNG, "frames": LOCK, "lost_python": ["python"]}, "fork-held-lock"),
    (
        "a lock's holder is lost, of a Python without symbols",
        {**HUNG, "frames": NAMELESS, "lock": "threading.Lock", "lost_python": ["python"]},
        "fork-held-lock",
    ),
    (
        "an executor's threads are lost, of a Python without symbols",
        {**HUNG, "frames": (*NAMELESS[:7], *WAITS[2:]), "lock": "threading.Lock", "lost_python": ["python"]},
        "fork-lost-threads",
    ),
    ("a lock, and nothing was lost", {**HUNG, "frames": LOCK}, "deadlock"),
    (
        "a lock, and the serial calls wait, too",
        {**SERIAL, "frames": LOCK, "lost_python": ["x"]},
        "deadlock",
    ),
    (
        "an engine, and the serial calls wait, too",
        {**SERIAL, "frames": ENGINE, "lost_native": ["x"]},
        "unknown",
    ),
    ("the engine waits, and only Python threads were lost", {**HUNG, "frames": ENGINE, "lost_python": ["x"]}, "unknown"),
    ("a forked child that nobody looked into", {**HUNG, "frames": ()}, "unknown"),
    ("no fork: spawned", {**HUNG, "pool": "prefork-spawn", "frames": LOCK, "lost_python": ["python"]}, "deadlock"),
    ("a spin", {**HUNG, "how": How.SPIN}, "native-spin"),
    ("the GIL", {**HUNG, "how": How.GIL}, "gil-held"),
    ("a holder that the fork left behind", {**HUNG, "how": How.OWNER}, "fork-held-lock"),
    ("a pipe of its own", {**HUNG, "how": How.PIPE, "pool": "threads"}, "deadlock"),
    ("a holder that has ended", {**HUNG, "how": How.OWNER, "pool": "threads"}, "deadlock"),
    ("a broker that hears nothing of its worker", {"outcome": Outcome.WAITING, "pool": "solo", "consumers": 0}, "broker-lost"),
    ("a broker that a prefork worker at work does not talk to", {**SILENT, "pool": "prefork"}, "broker-lost"),
    ("a stopped child", {**HUNG, "how": How.STOPPED}, "stopped"),
    ("a hub in C", {**HUNG, "pool": "gevent"}, "hub-blocked"),
    ("a hub at a semaphore between processes", {**HUNG, "pool": "eventlet", "how": How.SHARED}, "hub-blocked"),
    ("a hub at a lock on a file", {**HUNG, "pool": "gevent", "how": How.FILE}, "hub-blocked"),
    ("a semaphore that the serial calls wait for, too", {**SERIAL, "pool": "gevent", "how": How.SHARED}, "deadlock"),
    ("children at one semaphore", {**HUNG, "how": How.SHARED}, "deadlock"),
    ("greenlets", {**HUNG, "pool": "gevent", "how": How.GREENLET}, "deadlock"),
    ("a reply that never came", {**HUNG, "how": How.LOST}, "lost-message"),
    ("Theano's lock", {**HUNG, "frames": ("sleep", "lock (theano/gof/compilelock.py:9)")}, "compile-lock"),
    ("children die", {"outcome": Outcome.RESPAWNING, "pool": "prefork", "dead_children": 9}, "respawn-loop"),
    ("killed for memory", {"outcome": Outcome.CRASHED, "pool": "prefork", "oom_kills": 1}, "oom-killed"),
    ("killed by somebody", {"outcome": Outcome.CRASHED, "pool": "prefork"}, "unknown"),
    ("the broker is silent", {"outcome": Outcome.STALLED, "pool": "solo", "broker_answers": False}, "broker-lost"),
    ("the network is cut", {"outcome": Outcome.STALLED, "pool": "solo", "waiting": 3, "consumers": 0}, "broker-lost"),
    (
        "what a child sent cannot be unpickled",
        {"outcome": Outcome.CRASHED, "pool": "prefork", "unread": "ModuleNotFoundError: No module named 'plugin'"},
        "cannot-unpickle",
    ),
    (
        "a worker that was asked to end",
        {"outcome": Outcome.CRASHED, "pool": "threads", "asked": "by a signal (SIGTERM or SIGINT)"},
        "asked-to-end",
    ),
    (
        "messages have gone",
        {"outcome": Outcome.STALLED, "pool": "solo", "waiting": 3, "in_broker": 1, "consumers": 2},
        "lost-message",
    ),
    (
        "messages that are held back",
        {"outcome": Outcome.STALLED, "pool": "solo", "waiting": 3, "in_broker": 8, "held_back": "at 3 of 4 looks"},
        "acknowledged-late",
    ),
    (
        "a starved queue",
        {"outcome": Outcome.STALLED, "pool": "threads", "waiting": 3, "in_broker": 3, "consumers": 2},
        "unknown",
    ),
]


@pytest.mark.parametrize(("what", "facts", "name"), CASES)
def test_the_facts_speak_for_a_cause(what: str, facts: dict[str, Any], name: str) -> None:
    cause = cause_of(Facts(**facts))
    assert cause is not None
    assert cause.name == name, what


def test_wrong_answers_have_a_cause_only_in_a_forked_child_that_waits_for_a_lost_thread() -> None:
    facts = {**WRONG, "frames": WAITS, "lost_native": ["python"]}
    for other in ({"frames": LOCK}, {"lost_native": []}, {"pool": "threads"}, {"frames": ()}):
        assert cause_of(Facts(**{**facts, **other})) is None


def test_a_connection_is_no_cause_without_a_fork_or_if_the_serial_calls_wait_too() -> None:
    facts: dict[str, Any] = {**WRONG, **SHARES}
    for other in ({"pool": "threads"}, {"serial_waits": True}, {"shared": ()}, {"outcome": Outcome.ERRORS}):
        assert cause_of(Facts(**{**facts, **other})) is None


@pytest.mark.parametrize("pool", ["solo", "gevent", "eventlet"])
def test_a_request_that_blocks_the_only_thread_silences_its_worker_and_the_broker_is_not_lost(pool: str) -> None:
    assert cause_of(Facts(**{**SILENT, "pool": pool})) is None  # type: ignore[arg-type]
    assert cause_of(Facts(**{**SILENT, "pool": pool, "held": False})) is not None  # type: ignore[arg-type]


def test_a_good_trial_has_no_cause() -> None:
    assert cause_of(Facts(outcome=Outcome.OK, pool="prefork")) is None


def test_the_support_names_the_wait_and_the_lost_threads() -> None:
    cause = cause_of(Facts(**{**HUNG, "frames": ENGINE, "lost_native": ["tf_Compute", "tf_Compute", "eigen"]}))
    assert cause is not None
    assert cause.support == (
        "the parent had native threads that the child lacks: 2 x tf_Compute, 1 x eigen",
        "the child's request waits in absl::Notification::WaitForNotification (tf.so) < "
        "tensorflow::ProcessFunctionLibraryRuntime::RunSync (tf.so)",
    )


def test_a_frame_without_a_name_is_told_by_its_library_alike_in_each_trial() -> None:
    trials = [
        cause_of(
            Facts(
                **{
                    **HUNG,
                    "frames": (f"0x7f{n}823 (libgomp.so.1)", f"0x7f{n}2fd (libgomp.so.1)", "Predict (lgbm.so)"),
                    "lost_native": ["python"],
                }
            )
        )
        for n in ("81", "c8")
    ]
    assert trials[0] == trials[1]
    assert trials[0] is not None
    assert trials[0].support[-1].endswith("waits in libgomp.so.1 < Predict (lgbm.so)")


def test_every_thread_of_a_dump_can_be_read_apart() -> None:
    dump = 'Process 5: celery\n\nThread 50 (idle): "A"\n    a (x)\nThread 5 (idle): "MainThread"\n    b (x)\n    c (y)\n'
    assert frames_of(dump, 5) == ("b (x)", "c (y)")
    assert frames_of(dump, 50) == ("a (x)",)
    assert frames_of(dump, 6) == ()


@pytest.mark.parametrize(("kills", "told"), [(2, "counted 2 kills for memory"), (0, "killed nobody for memory")])
def test_a_crash_says_whose_kills_for_memory_were_counted(kills: int, told: str) -> None:
    crash = Facts(outcome=Outcome.CRASHED, pool="prefork", oom_kills=kills)
    assert cause_of(replace(crash, oom_counted="in its control group")).support == (  # type: ignore[union-attr]
        f"the kernel {told} in its control group during the trial",
    )
    assert cause_of(crash).support == (f"the kernel {told} during the trial",)  # type: ignore[union-attr]


FORKED = Cell(backend="tensorflow2", pool="prefork", concurrency=2, placement="import")


def record(cell: Cell, outcome: Outcome, **fields: Any) -> TrialRecord:
    return handmade.record(
        cell_id=cell.id, cell=cell.as_dict(), trial=1, plan_key="k", started="now", seconds=1.0, outcome=outcome, reason="r",
        **fields,
    )  # fmt: skip


def test_a_fix_is_never_the_cell_itself() -> None:
    for cause in FIXES:
        assert all(fix.cell != FORKED for fix in fixes(FORKED, cause))


def test_where_an_application_loads_is_its_owners_to_change_and_no_cell_of_ours() -> None:
    own = replace(FORKED, backend=OWN_APP, placement=AS_WRITTEN)
    for cause in FIXES:
        told = fixes(own, cause)
        assert all(fix.cell is None or fix.cell.placement == AS_WRITTEN for fix in told), cause
        assert [fix.text for fix in told if fix.cell is None] == ([THEIRS[cause]] if cause in THEIRS else [])
    page = diagnoses.text([record(own, Outcome.HUNG, cause="fork-held-lock")])
    assert f"* {THEIRS['fork-held-lock']}\n* start children by spawn" in page
    assert "load the model" not in page


def test_fixes_that_siblings_carried_out_are_called_measured() -> None:
    later, spawned, threads = (fix.cell for fix in fixes(FORKED, "fork-lost-threads") if fix.cell.engine_threads == "auto"
                               and fix.cell.pool != "solo" and fix.cell.placement != "process-init")  # fmt: skip
    page = diagnoses.text(
        [
            record(FORKED, Outcome.HUNG, cause="fork-lost-threads", support=["it lacks 3 threads"], evidence="e/stacks.txt"),
            record(later, Outcome.OK, measured_s=2.0, measured_requests=50),
            record(spawned, Outcome.INVALID),
            record(threads, Outcome.ERRORS),
        ]
    )
    assert "fork-lost-threads" in page
    assert "it lacks 3 threads" in page
    assert f"**measured to work**, 1 of 1 ok, 25.0 requests per second (`{later.id}`)" in page
    assert f"not measured in this run (`{spawned.id}`)" in page
    assert f"measured, and it is not hung there, but ended: errors (`{threads.id}`)" in page


def test_a_run_without_trouble_has_no_page() -> None:
    assert diagnoses.text([record(FORKED, Outcome.OK)]) == ""


def test_what_decides_though_all_answers_were_right_has_its_place_on_the_page() -> None:
    doubt = "no consumer: 9 messages of tasks.index wait in queue bulk, which this worker does not consume, count that work in"
    good = record(FORKED, Outcome.OK).changed(certainty={"doubts": [doubt, "1 trial: how much"]})
    page = diagnoses.text([good])
    assert f"## {FORKED.id}\n\n**ok**: " in page
    assert "In doubt:\n* no consumer: 9 messages of tasks.index wait in queue bulk" in page
    assert "1 trial" not in page


@pytest.mark.parametrize(("placement", "said"), [(AS_WRITTEN, True), ("first-task", False)])
def test_a_wait_of_somebodys_own_application_is_to_be_given_an_end(placement: str, said: bool) -> None:
    reasons = {f"a request waits for {kind} 10.0.0.5:53": END_WAITS for kind in ("TCP", "UDP")}
    reasons["a request waits for a lock or condition"] = TAKE_LOCKS
    reasons["no progress for 25 s; 4 requests were put off by a retry, and did not begin again"] = END_RETRIES
    for reason, text in reasons.items():
        one = record(replace(FORKED, placement=placement), Outcome.WAITING).changed(ended={"reason": reason})
        page = diagnoses.text([one])
        assert (f"* {text}" in page) is said
    assert against_waiting("a request waits for TCP 127.0.0.1:6379; they may wait for tasks.child") == ""
