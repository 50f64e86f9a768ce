"""The judge, tried on histories: what was seen of threads, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.judge.blocked import How
from harness.judge.outcome import COUNTED
from harness.judge.watchdog import State, Verdict, judge
from harness.machine.procfs import Thread
from harness.observe.looks import Greenlet, Look, ProcessLook
from harness.observe.progress import OpenStage
from harness.observe.roles import Role

CHILD, TASK, HELPER = 100, 100, 101
FUTEX = Thread(
    tid=TASK, name="python", state="S", cpu_s=1.0, switches=7, waits_in="futex", timed=False, private=True, wait_channel="futex"
)
STAGE = OpenStage(kind="request", pid=CHILD, tid=TASK, number=5, since_s=0.0)
STEP_S = 0.25
AT_HOME = frozenset({CHILD})
Change = Callable[[int], dict[str, object]]


def PYTHON_HELPER(i: int) -> dict[str, object]:  # noqa: N802
    return {"python_tids": frozenset({TASK, HELPER})}


def history(
    task: Change = lambda i: {},
    helper: Change | None = None,
    process: Change = lambda i: {},
    look: Change = lambda i: {},
    seconds: float = 8.0,
) -> list[Look]:
    """Looks every 0.25 s at one child whose last progress was at 0 s; each Change alters the i-th look's part."""
    looks = []
    for i in range(1, int(seconds / STEP_S) + 1):
        threads = [replace(FUTEX, **task(i))]
        if helper is not None:
            threads.append(replace(FUTEX, tid=HELPER, name="helper", **helper(i)))
        child = ProcessLook(pid=CHILD, cpu_s=1.0, children=(), threads=tuple(threads), python_tids=frozenset({TASK}))
        one = Look(
            at_s=STEP_S * i,
            ready=True,
            last_progress_s=0.0,
            waiting=3,
            ended=4,
            stages=(STAGE,),
            processes=(replace(child, **process(i)),),
            pace_s=0.02,
        )
        looks.append(replace(one, **look(i)))
    return looks


def test_a_task_thread_in_an_untimed_private_futex_with_nobody_to_wake_it_is_hung() -> None:
    verdict = judge(history())
    assert verdict.state is State.HUNG
    assert verdict.pids == (CHILD,)
    assert "1 of 1 processes" in verdict.reason
    assert COUNTED.fullmatch(verdict.reason)
    assert not verdict.partial
    assert verdict.since_s == 0.0


def test_a_hang_is_not_declared_before_its_silence_is_long_enough() -> None:
    assert judge(history(seconds=1.25)).state is State.WORKING
    assert judge(history(seconds=1.5)).state is State.HUNG


@pytest.mark.parametrize(("pace_s", "asked_at_s"), [(0.001, 1.5), (0.09, 1.5), (2.0, 6.0), (60.0, 120.0), (None, 4.0)])
def test_how_long_a_request_may_be_open_depends_on_what_it_usually_takes(pace_s: float | None, asked_at_s: float) -> None:
    def pace(i: int) -> dict[str, object]:
        return {"pace_s": pace_s}

    assert judge(history(look=pace, seconds=asked_at_s - STEP_S)).state is State.WORKING
    assert judge(history(look=pace, seconds=asked_at_s)).state is State.HUNG


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("the task thread computes", {"process": lambda i: {"cpu_s": 1.0 + 0.4 * i}}),
        ("the task thread sleeps", {"task": lambda i: {"waits_in": "sleep", "timed": True, "private": False}}),
        ("the task thread waits with a time limit", {"task": lambda i: {"timed": True}}),
        ("another process may end the wait", {"task": lambda i: {"private": False}}),
        ("the task thread is woken now and then", {"task": lambda i: {"switches": i}}),
        ("the task thread waits for a child", {"task": lambda i: {"waits_in": "wait-child", "private": False}}),
        ("the task thread waits for a file lock", {"task": lambda i: {"waits_in": "flock", "private": False}}),
        ("what it waits in may not be read", {"task": lambda i: {"waits_in": "unknown", "private": False}}),
        ("a compiler runs below it", {"process": lambda i: {"children": (200,)}}),
        ("a Python helper sleeps: it may hold the lock", {"helper": lambda i: {"waits_in": "sleep"}, "process": PYTHON_HELPER}),
        ("a Python helper waits with a time limit", {"helper": lambda i: {"timed": True}, "process": PYTHON_HELPER}),
        (
            "a helper goes on with a timed wait after a stop",
            {"helper": lambda i: {"waits_in": "restart"}, "process": PYTHON_HELPER},
        ),
        (
            "a helper waits in a call that we do not know",
            {"helper": lambda i: {"waits_in": "call 425"}, "process": PYTHON_HELPER},
        ),
        ("a helper reads a socket", {"helper": lambda i: {"waits_in": "recv", "private": False}}),
        ("a helper computes", {"helper": lambda i: {"cpu_s": 0.02 * i, "waits_in": "running"}}),
        ("a helper runs just now", {"helper": lambda i: {"waits_in": "running"}}),
        (
            "a helper has just come",
            {"process": lambda i: {"threads": (FUTEX,) if i < 30 else (FUTEX, replace(FUTEX, tid=HELPER))}},
        ),
        (
            "a helper has just gone",
            {"process": lambda i: {"threads": (FUTEX,) if i > 30 else (FUTEX, replace(FUTEX, tid=HELPER))}},
        ),
        ("the process was not there all the time", {"look": lambda i: {} if i > 30 else {"processes": ()}}),
    ],
)
def test_whatever_may_still_end_is_not_a_hang(what: str, changes: dict[str, Change]) -> None:
    verdict = judge(history(**changes))  # type: ignore[arg-type]
    assert verdict.state is State.UNDECIDED, what
    assert verdict.reason


def polling(i: int) -> dict[str, object]:
    return {"waits_in": "sleep", "timed": True, "switches": 10 * i}


@pytest.mark.parametrize("python", [frozenset({TASK, HELPER}), frozenset({TASK}), None])
def test_a_thread_on_a_timer_may_end_the_wait_whoever_runs_it_and_for_as_long_as_one_looks(
    python: frozenset[int] | None,
) -> None:
    found = judge(history(helper=polling, process=lambda i: {"python_tids": python}, seconds=60.0))
    assert found.state is State.UNDECIDED
    assert "waits in sleep, which may still end" in found.doubt


def test_a_helper_that_was_woken_in_between_or_may_be_from_elsewhere_keeps_the_question_open() -> None:
    def woken(i: int) -> dict[str, object]:
        return {"waits_in": "futex", "private": True, "switches": i}

    def shared(i: int) -> dict[str, object]:
        return {"waits_in": "futex", "private": False}

    def now_and_then(i: int) -> dict[str, object]:
        return {"waits_in": "futex" if i % 2 else "poll", "private": True, "switches": 0}

    assert "woken in between" in judge(history(helper=woken)).doubt
    assert "another process may wake" in judge(history(helper=shared)).doubt
    assert "may still end" in judge(history(helper=now_and_then)).doubt


@pytest.mark.parametrize(
    ("caught", "state"),
    [({2, 10, 15, 23, 28, 32}, State.HUNG), ({14}, State.UNDECIDED), ({2, 27}, State.UNDECIDED), ({34}, State.UNDECIDED)],
)
def test_a_signal_with_a_handler_of_somebodys_own_may_end_the_wait(caught: set[int], state: State) -> None:
    assert judge(history(process=lambda i: {"caught": frozenset(caught)})).state is state


def test_a_limit_of_the_applications_own_has_its_time_to_strike() -> None:
    assert "time limit of 8 s is still to strike" in judge(history(look=lambda i: {"limit_s": 8.0}, seconds=9.0)).doubt
    assert judge(history(look=lambda i: {"limit_s": 8.0}, seconds=20.0)).state is State.HUNG


def test_an_event_loop_that_waited_so_from_the_start_does_not_hide_a_hang() -> None:
    def loop(i: int) -> dict[str, object]:
        return {"waits_in": "epoll", "private": False, "timed": True}

    def celerys(i: int) -> dict[str, object]:
        return {"python_tids": frozenset({TASK}), "own_tids": frozenset({HELPER})}

    def known(i: int) -> dict[str, object]:
        return {"furniture": {HELPER: "epoll"}}

    assert judge(history(helper=loop, process=PYTHON_HELPER)).state is State.UNDECIDED
    assert judge(history(helper=loop, process=celerys, look=known)).state is State.HUNG
    assert judge(history(helper=loop, process=PYTHON_HELPER, look=known)).state is State.UNDECIDED, "somebody's client"


@pytest.mark.parametrize(
    ("task", "how"),
    [
        ({"wakers": AT_HOME, "waits_in": "read", "private": False}, How.PIPE),
        ({"wakers": AT_HOME, "waits_in": "epoll", "private": False}, How.PIPE),
        ({"wakers": AT_HOME, "private": False}, How.SHARED),
        ({"wakers": AT_HOME, "waits_in": "epoll", "private": False, "timed": True}, None),
        ({"waits_in": "read", "private": False}, None),
    ],
)
def test_a_wait_that_only_its_own_process_could_end_is_a_hang(task: dict[str, object], how: How | None) -> None:
    beside = {"waits_in": "read", "private": False}
    verdict = judge(history(task=lambda i: task))
    assert (verdict.state is State.HUNG, verdict.how) == (how is not None, how)
    assert judge(history(task=lambda i: task, helper=lambda i: beside)).state is not State.HUNG, "another thread may end it"
    told = judge(history(task=lambda i: task, helper=lambda i: {**beside, "wakers": AT_HOME}))
    assert (told.state is State.HUNG) is (how is not None)


def held_by(owner: Callable[[int], int], parents: int) -> Verdict:
    """A request waits for a lock that names its holder, beside a thread that comes and goes. `parents`: one of its parent."""
    looks = history(
        task=lambda i: {"owner": owner(i)}, helper=lambda i: {"waits_in": "sleep", "switches": i}, process=PYTHON_HELPER
    )
    parent = ProcessLook(pid=1, cpu_s=1.0, children=(CHILD,), threads=(replace(FUTEX, tid=1), replace(FUTEX, tid=parents)))
    return judge([replace(look, processes=(parent, *look.processes)) for look in looks])


def test_a_lock_whose_holder_its_parent_alone_has_is_never_released_whatever_else_runs() -> None:
    verdict = held_by(lambda i: 4711, parents=4711)
    assert (verdict.state, verdict.how) == (State.HUNG, How.OWNER)


@pytest.mark.parametrize(
    "owner",
    [lambda i: HELPER, lambda i: 0, lambda i: 4711 + i, lambda i: 4711],
    ids=["alive", "unknown", "changing", "nobody's"],
)
def test_any_other_holder_may_release_it(owner: Callable[[int], int]) -> None:
    assert held_by(owner, parents=4710).state is State.UNDECIDED


@pytest.mark.parametrize(
    ("task", "computing"),
    [
        (lambda i: {"waits_in": "running", "switches": i}, True),
        (lambda i: {"waits_in": "running" if i % 3 else "futex", "switches": i}, False),
        (lambda i: {"waits_in": "running" if i % 3 else "read", "switches": i, "cpu_s": 0.08 * i}, True),
        (lambda i: {"waits_in": "running" if i % 3 else "futex", "timed": True, "switches": 10 * i, "cpu_s": 0.02 * i}, True),
        (lambda i: {"waits_in": "futex", "timed": True, "switches": 10 * i, "cpu_s": 0.001 * i}, False),
        (lambda i: {"waits_in": "read", "cpu_s": 0.1 * i, "switches": i}, True),
        (lambda i: {"waits_in": "read", "cpu_s": 0.05 * i, "switches": i}, False),
        (lambda i: {"waits_in": "sleep"}, False),
    ],
    ids=[
        "runs",
        "tells often, of nothing",
        "reads between",
        "lacks the GIL",
        "polls",
        "uses 0.4 cores",
        "uses 0.2 cores",
        "sleeps",
    ],
)
def test_what_is_overdue_and_computes_is_told_from_what_waits(task: Change, computing: bool) -> None:
    verdict = judge(history(task=task))
    assert (verdict.state, verdict.computing) == (State.UNDECIDED, computing)


def nobody(i: int) -> dict[str, object]:
    """No event tells of anything that is being done."""
    return {"stages": ()}


def seen_as(role: Role) -> Change:
    return lambda i: {"role": role}


def test_waiting_requests_before_idle_executors_are_stalled_only_after_a_while() -> None:
    idle = seen_as(Role.IDLE)
    assert judge(history(look=nobody, process=idle, seconds=5.0)).state is State.WORKING
    assert judge(history(look=nobody, process=idle)).state is State.STALLED


@pytest.mark.parametrize("kind", ["threads", "main", "greenlets"])
def test_a_pool_without_children_is_idle_if_its_main_process_runs_celery_alone(kind: str) -> None:
    def look(i: int) -> dict[str, object]:
        return {"stages": (), "executor_kind": kind}

    assert judge(history(look=look, process=seen_as(Role.MAIN))).state is State.STALLED
    assert judge(history(look=nobody, process=seen_as(Role.MAIN))).state is State.UNDECIDED, "its children were not seen"


def test_nobody_is_stalled_while_no_executor_was_seen_idle() -> None:
    verdict = judge(history(look=nobody))
    assert (verdict.state, verdict.doubt) == (State.UNDECIDED, "no executor was seen idle")
    now_and_then = judge(history(look=nobody, process=lambda i: {"role": Role.IDLE if i % 2 else Role.UNKNOWN}))
    assert now_and_then.state is State.UNDECIDED


@pytest.mark.parametrize("role", [Role.STARTING, Role.ENDING, Role.RUNNING, Role.HELD])
def test_a_process_that_is_at_something_without_an_event_is_judged_by_what_it_waits_in(role: Role) -> None:
    deadlocked = judge(history(look=nobody, process=seen_as(role)))
    assert (deadlocked.state, deadlocked.how, deadlocked.pids) == (State.HUNG, How.FUTEX, (CHILD,))
    sleeping = judge(history(look=nobody, process=seen_as(role), task=lambda i: {"waits_in": "sleep"}))
    assert sleeping.state is State.UNDECIDED
    assert "waits in sleep" in sleeping.doubt
    elsewhere = judge(
        history(
            look=nobody,
            process=lambda i: {"role": role, "tracing": frozenset({HELPER})},
            helper=lambda i: {"waits_in": "sleep"},
        )
    )
    assert "waits in sleep" in elsewhere.doubt


def test_waiting_requests_while_the_worker_computes_are_not_stalled() -> None:
    busy = judge(history(look=lambda i: {"stages": ()}, process=lambda i: {"cpu_s": 0.4 * i}))
    assert busy.state is State.UNDECIDED


@pytest.mark.parametrize("changes", [{"stages": ()}, {"stages": (), "waiting": 0, "unanswered": 2}], ids=["queue", "answers"])
def test_a_worker_that_would_run_and_gets_no_core_is_neither_stalled_nor_has_it_lost_an_answer(
    changes: dict[str, object],
) -> None:
    def starved(i: int) -> dict[str, object]:
        return {"waits_in": "running", "state": "R"}

    idle = seen_as(Role.IDLE)
    assert judge(history(task=starved, process=idle, look=lambda i: changes)).state is State.UNDECIDED
    now_and_then = judge(history(task=lambda i: starved(i) if i % 4 == 0 else {}, process=idle, look=lambda i: changes))
    assert now_and_then.state in (State.STALLED, State.HUNG)


def test_silence_with_nothing_to_do_is_no_verdict() -> None:
    assert judge(history(look=lambda i: {"stages": (), "waiting": 0})).state is State.WORKING


def test_children_that_die_before_any_answer_are_respawning() -> None:
    dying = judge(history(look=lambda i: {"dead_children": 3, "ended": 0}))
    assert dying.state is State.RESPAWNING
    assert judge(history(look=lambda i: {"dead_children": 3, "ended": 7})).state is State.RESPAWNING, "since the last answer"
    assert judge(history(look=lambda i: {"dead_children": 2, "ended": 0})).state is not State.RESPAWNING
    assert judge(history(look=lambda i: {"dead_children": 3, "executors": 2})).state is not State.RESPAWNING


def test_a_child_that_lost_threads_at_the_fork_hangs_though_what_is_left_of_its_engine_wakes_now_and_then() -> None:
    bereft = judge(history(helper=polling, process=lambda i: {"lost_threads": True}, seconds=2.0))
    of_python = judge(history(helper=polling, process=lambda i: {"lost_threads": True, "lost_native": False}, seconds=2.0))
    assert of_python.state is not State.HUNG, "what it lost runs Python, and is no engine's"
    assert (bereft.state, bereft.how) == (State.HUNG, How.BEREFT)
    somebodys = {"lost_threads": True, "python_tids": frozenset({TASK, HELPER})}
    assert judge(history(helper=polling, process=lambda i: somebodys, seconds=2.0)).state is State.UNDECIDED


def test_a_task_that_limits_its_own_rate_is_never_stalled() -> None:
    assert judge(history(look=lambda i: {"stages": (), "rate_limited": True}, seconds=60.0)).state is State.WORKING


@pytest.mark.parametrize(("put_off_s", "state"), [(0.0, State.STALLED), (50.0, State.STALLED), (60.0, State.WORKING)])
def test_messages_that_are_put_off_stall_nobody_until_their_time_has_come(put_off_s: float, state: State) -> None:
    idle = history(look=lambda i: {"stages": (), "put_off_s": put_off_s}, process=lambda i: {"role": Role.IDLE}, seconds=60.0)
    assert judge(idle).state is state


OTHER = OpenStage(kind="request", pid=CHILD, tid=HELPER, number=6, since_s=7.9)


def busy(i: int) -> dict[str, object]:
    """A second thread of the process that runs requests of its own."""
    return {"switches": 10 * i, "cpu_s": 0.02 * i}


def beside_another(i: int) -> dict[str, object]:
    return {"stages": (STAGE, OTHER), "executors": 8, "executor_kind": "threads", "last_progress_s": STEP_S * i - 0.1}


def test_one_blocked_thread_of_many_is_a_partial_hang_once_pace_allows_it() -> None:
    def thread(i: int) -> dict[str, object]:
        return {"cpu_s": 0.02 * i, "python_tids": frozenset({TASK, HELPER})}

    def at(seconds: float) -> Callable[[int], dict[str, object]]:
        other = replace(OTHER, since_s=seconds - 0.1)
        return lambda i: {**beside_another(i), "stages": (STAGE, other)}

    assert judge(history(helper=busy, process=thread, look=at(4.0), seconds=4.0)).state is not State.HUNG
    found = judge(history(helper=busy, process=thread, look=at(8.0), seconds=8.0))
    assert (found.state, found.partial, found.hung, found.executors) == (State.HUNG, True, 1, 8)
    assert "1 of 8 threads" in found.reason


def test_one_blocked_child_of_four_is_a_partial_hang_while_the_others_go_on() -> None:
    sibling = OpenStage(kind="request", pid=200, tid=200, number=6, since_s=7.9)

    def look(i: int) -> dict[str, object]:
        return {"stages": (STAGE, sibling), "executors": 4, "last_progress_s": STEP_S * i - 0.1}

    found = judge(history(look=look))
    assert (found.state, found.partial, found.hung, found.executors) == (State.HUNG, True, 1, 4)
    assert found.pids == (CHILD,)


def test_a_request_that_waits_for_one_that_is_slow_is_not_hung() -> None:
    """The older one may hold the lock; it sleeps, so both will go on."""

    def sleeping(i: int) -> dict[str, object]:
        return {"waits_in": "sleep", "timed": True}

    older = replace(OTHER, since_s=0.0)
    verdict = judge(
        history(helper=sleeping, look=lambda i: {"stages": (STAGE, older), "executors": 2, "executor_kind": "threads"})
    )
    assert verdict.state is State.UNDECIDED


def test_the_gil_held_by_a_blocked_thread_blocks_all() -> None:
    def waits_for_gil(i: int) -> dict[str, object]:
        return {"timed": True, "switches": 50 * i}

    def held(i: int) -> dict[str, object]:
        return {"gil_owner": TASK, "cpu_s": 0.01 * i, "python_tids": frozenset({TASK, HELPER})}

    found = judge(history(helper=waits_for_gil, process=held))
    assert (found.state, found.how) == (State.HUNG, How.GIL)

    native = judge(history(helper=waits_for_gil, process=lambda i: {**held(i), "python_tids": frozenset({TASK})}))
    assert native.state is State.UNDECIDED, "what looks as if it asked for the GIL polls a device, and may end the wait"
    assert judge(history(helper=waits_for_gil, process=lambda i: {**held(i), "python_tids": None})).state is State.UNDECIDED

    for place, state in ((150, State.HUNG), (250, State.UNDECIDED)):
        one = judge(
            history(
                helper=lambda i, at=place: {**waits_for_gil(i), "place": at},  # type: ignore[misc]
                process=lambda i: {**held(i), "python_data": ((100, 200),)},
            )
        )
        assert one.state is state, "the GIL lies among Python's own data"

    def asleep(i: int) -> dict[str, object]:
        return {"waits_in": "sleep", "timed": True}

    assert judge(history(task=asleep, helper=waits_for_gil, process=held)).state is State.UNDECIDED


def test_a_stopped_process_is_hung() -> None:
    found = judge(history(task=lambda i: {"state": "T", "waits_in": "blocked", "private": False}))
    assert (found.state, found.how) == (State.HUNG, How.STOPPED)


@pytest.mark.parametrize(
    ("moves", "doubt"),
    [
        (lambda i: {"state": "T", "switches": i}, "in turns"),  # met stopped at every look, and yet it went on
        (lambda i: {"state": "T", "cpu_s": 0.01 * i}, "in turns"),
        (lambda i: {"state": "R" if i % 4 == 0 else "T", "waits_in": "running", "switches": i}, "in turns"),
        (lambda i: {"state": "T", "switches": i // 26}, "in turns"),  # of 32 looks the window has 5; two windows are told by
        (lambda i: {"state": "R" if i < 31 else "T", "waits_in": "running"}, "only a moment ago"),
    ],
)
def test_a_process_that_goes_on_between_its_stops_is_no_hang(moves: Change, doubt: str) -> None:
    found = judge(history(task=moves))
    assert (found.state, doubt in found.reason) == (State.UNDECIDED, True)


def test_a_process_that_was_continued_once_and_then_stopped_for_good_is_hung() -> None:
    assert judge(history(task=lambda i: {"state": "T", "switches": i // 20})).how is How.STOPPED


@pytest.mark.parametrize(("seconds", "state"), [(59.0, State.UNDECIDED), (61.0, State.HUNG)])
def test_a_spin_takes_a_minute_where_no_serial_calls_showed_what_rows_cost(seconds: float, state: State) -> None:
    def spins(i: int) -> dict[str, object]:
        return {"waits_in": "running", "private": False, "cpu_s": STEP_S * i, "switches": i}

    def process(i: int) -> dict[str, object]:
        return {"cpu_s": STEP_S * i, "functions": {TASK: ("spin (x.py)", 9)}}

    assert judge(history(task=spins, process=process, seconds=seconds)).state is state


@pytest.mark.parametrize(
    ("seconds", "pace_s", "cold", "state"),
    [
        (19.0, 0.001, False, State.UNDECIDED),
        (21.0, 0.001, False, State.HUNG),
        (21.0, 1.0, False, State.UNDECIDED),  # 100 times the usual second have not passed
        (101.0, 1.0, False, State.HUNG),
        (21.0, None, False, State.UNDECIDED),
        (21.0, 0.001, True, State.UNDECIDED),  # the first request of a process may compile
        (121.0, 0.001, True, State.HUNG),
    ],
)
def test_a_spin_is_told_from_a_long_computation_by_the_cells_own_pace(
    seconds: float, pace_s: float | None, cold: bool, state: State
) -> None:
    def spins(i: int) -> dict[str, object]:
        return {"waits_in": "running", "private": False, "cpu_s": STEP_S * i, "switches": i}

    def process(i: int) -> dict[str, object]:
        return {"cpu_s": STEP_S * i, "functions": {TASK: ("spin (x.py)", 9)}}

    stage = replace(STAGE, cold=cold)
    known = {"pace_s": pace_s, "stages": (stage,), "cold_s": None if cold else 0.01}
    assert judge(history(task=spins, process=process, look=lambda i: known, seconds=seconds)).state is state
    moving = history(task=spins, process=lambda i: {"cpu_s": STEP_S * i}, look=lambda i: {"pace_s": 0.001}, seconds=seconds)
    assert judge(moving).state is not State.HUNG, "another function each time"


@pytest.mark.parametrize(("core_s", "state"), [(0.02, State.HUNG), (0.001, State.UNDECIDED)], ids=["lacks the GIL", "polls"])
def test_two_threads_that_share_the_gil_spin_but_one_that_polls_does_not(core_s: float, state: State) -> None:
    def task(i: int) -> dict[str, object]:
        return {"waits_in": "running" if i % 2 else "futex", "timed": True, "switches": 10 * i, "cpu_s": core_s * i}

    def process(i: int) -> dict[str, object]:
        return {"cpu_s": STEP_S * i, "functions": {TASK: ("spin (x.py)", 9)}}

    assert judge(history(task=task, process=process, seconds=65.0)).state is state


def test_an_idle_hub_that_is_seen_running_once_does_not_spin() -> None:
    """Its innermost function is always the hub's own, and a request of it sleeps."""

    def hub(i: int) -> dict[str, object]:
        return {"waits_in": "running" if i % 4 == 0 else "epoll", "timed": True, "private": False, "cpu_s": 0.01 * i}

    def process(i: int) -> dict[str, object]:
        return {"functions": {TASK: ("run (gevent/hub.py)", 40)}, "cpu_s": 0.01 * i, **green(i, on_lock=False)}

    kind = {"executor_kind": "greenlets", "pace_s": 0.001}
    assert judge(history(task=hub, process=process, look=lambda i: kind, seconds=30.0)).state is State.UNDECIDED


def test_a_hub_that_computes_for_other_requests_does_not_spin_for_this_one() -> None:
    def hub(i: int) -> dict[str, object]:
        return {"waits_in": "running", "timed": False, "private": False, "cpu_s": STEP_S * i}

    def process(i: int) -> dict[str, object]:
        return {"functions": {TASK: ("predict (x.py)", 40)}, "cpu_s": STEP_S * i, **green(i, on_lock=False)}

    def look(i: int) -> dict[str, object]:
        return {"executor_kind": "greenlets", "pace_s": 0.001, "last_progress_s": STEP_S * i - 0.1}

    assert judge(history(task=hub, process=process, look=look, seconds=30.0)).state is not State.HUNG


def green(i: int, **changes: object) -> dict[str, object]:
    waiting = Greenlet(request=5, on_lock=True, foreign=True)
    return {"greenlets": (replace(waiting, **changes), Greenlet(request=None, on_lock=False, foreign=False))}


def in_hub(i: int) -> dict[str, object]:
    return {"waits_in": "epoll", "timed": True, "private": False, "switches": i}


def test_looks_at_which_a_green_process_is_busy_telling_hide_no_hang_and_prove_none() -> None:
    def mostly(i: int) -> dict[str, object]:
        return {"greenlets": None} if i % 3 == 0 else green(i)

    def seldom(i: int) -> dict[str, object]:
        return {"greenlets": None} if i % 8 else green(i)

    def telling(i: int) -> dict[str, object]:
        return {**in_hub(i), "waits_in": "running"} if i % 3 == 0 else in_hub(i)

    kind = {"executor_kind": "greenlets"}
    assert judge(history(task=telling, process=mostly, look=lambda i: kind)).how is How.GREENLET
    assert judge(history(task=in_hub, process=seldom, look=lambda i: kind)).state is State.UNDECIDED


def test_a_greenlet_that_waits_for_a_lock_nobody_releases_is_hung() -> None:
    kind = {"executor_kind": "greenlets"}
    found = judge(history(task=in_hub, process=green, look=lambda i: kind))
    assert (found.state, found.how) == (State.HUNG, How.GREENLET)
    slow = judge(history(task=in_hub, process=lambda i: green(i, on_lock=False), look=lambda i: kind))
    assert slow.state is State.UNDECIDED
    timer = Greenlet(request=None, on_lock=False, foreign=True)
    beside_a_timer = judge(
        history(task=in_hub, process=lambda i: {"greenlets": (*green(i)["greenlets"], timer)}, look=lambda i: kind)  # type: ignore[misc]
    )
    assert beside_a_timer.state is State.UNDECIDED


def test_an_answer_that_never_comes_is_a_lost_reply() -> None:
    def lost(i: int) -> dict[str, object]:
        return {"stages": (), "waiting": 0, "unanswered": 2}

    assert judge(history(look=lost, seconds=2.0)).state is State.WORKING
    found = judge(history(look=lost, seconds=4.0))
    assert (found.state, found.how) == (State.HUNG, How.LOST)


def test_a_request_whose_compiler_computes_is_at_work_though_it_waits() -> None:
    """The compiler is a child of the process, and another one each time: those that have ended count with their parent."""

    def look(i: int, cores: float) -> dict[str, object]:
        task = replace(FUTEX, waits_in="select", private=False)
        spent = cores * STEP_S * i
        compiler = ProcessLook(pid=900 + i // 4, cpu_s=spent / 2, children=(), threads=(replace(FUTEX, tid=900 + i // 4),))
        own = ProcessLook(pid=CHILD, cpu_s=1.0 + spent / 2, children=(compiler.pid,), threads=(task,))
        return {"processes": (own, compiler)}

    assert judge(history(look=lambda i: look(i, 0.9))).computing
    assert not judge(history(look=lambda i: look(i, 0.01))).computing


@pytest.mark.parametrize(("at_once", "cores", "at_work"), [(1, 0.1, True), (3, 0.1, False), (1, 0.001, False)])
def test_a_compiler_that_gets_a_tenth_of_a_core_is_at_work_if_it_is_always_ready(
    at_once: int, cores: float, at_work: bool
) -> None:
    """In turn: the thread of the request itself, and a program below the one that it has started; or one look in three only."""

    def look(i: int) -> dict[str, object]:
        ready = i % at_once == 0
        task = replace(FUTEX, waits_in="running" if ready and i % 2 else "select", private=False)
        works = replace(FUTEX, tid=901, waits_in="running" if ready and not i % 2 else "pipe_read")
        driver = ProcessLook(pid=900, cpu_s=0.0, children=(901,), threads=(replace(FUTEX, tid=900, waits_in="wait"),))
        worker = ProcessLook(pid=901, cpu_s=cores * STEP_S * i, children=(), threads=(works,))
        return {"processes": (ProcessLook(pid=CHILD, cpu_s=1.0, children=(900,), threads=(task,)), driver, worker)}

    found = judge(history(look=look))
    assert found.state is State.UNDECIDED
    assert found.computing is at_work
