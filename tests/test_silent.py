"""What leaves every answer in place is named by the facts that show it, and a healthy worker is accused of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.experiment.matrix import OWN_APP, Cell
from harness.measure import doubts, silent
from harness.measure.thread_clocks import ThreadUse
from harness.proof.selftest import judgement
from harness.proof.selftest.catalogue import CATALOGUE
from harness.proof.selftest.judgement import Mark
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, from_line, to_line
from harness.records.silent import Silent
from harness.run import plan
from harness.summary import diagnoses
from harness.trial import worker_log
from tests.test_cpu_verdict import cpu, facts
from tests.test_store import record

SPAN_S = 10.0
WORKER, ONE, OTHER = 10, 11, 12  # processes
CHILDREN = frozenset({(ONE, ONE), (OTHER, OTHER)})


def use(pid: int, tid: int, cores: float, cpus: str = "0-1", wait: float = 0.0) -> ThreadUse:
    """A thread that used so many cores, and wanted `wait` more."""
    return ThreadUse(
        pid=pid, tid=tid, name="python", cpu_s=cores * SPAN_S, wait_s=wait * SPAN_S, involuntary=0, cpus=cpus
    )  # fmt: skip


def seen(*uses: ThreadUse, executors: frozenset[tuple[int, int]] = CHILDREN) -> Silent:
    return silent.of_threads([use(WORKER, WORKER, 0.3), *uses], SPAN_S, executors)


def named(found: Silent, **changes: Any) -> list[str]:
    one = record(**{"cpu": cpu(children=1.5), **changes}).changed(silent=dict(found))
    return [doubt.name for doubt in silent.doubts(one)]


def test_children_that_share_the_one_core_they_are_pinned_to_are_named() -> None:
    found = seen(use(ONE, ONE, 0.5, "1"), use(OTHER, OTHER, 0.5, "1"))
    assert (found.pinned_core, found.pinned_share, found.executors) == (1, 1.0, 2)
    assert named(found) == [silent.PINNED]


def test_the_threads_of_an_engine_count_where_they_compute_and_not_who_called_them() -> None:
    engine = [use(ONE, 21, 0.5, "0"), use(OTHER, 22, 0.5, "0")]
    assert named(seen(use(ONE, ONE, 0.05), use(OTHER, OTHER, 0.05), *engine)) == [silent.PINNED]
    assert named(seen(use(ONE, ONE, 0.5), use(OTHER, OTHER, 0.5), *engine)) == []


def test_threads_of_one_process_that_share_a_core_are_named_too() -> None:
    threads = frozenset({(WORKER, 21), (WORKER, 22)})
    assert named(seen(use(WORKER, 21, 0.4, "0"), use(WORKER, 22, 0.4, "0"), executors=threads)) == [silent.PINNED]


@pytest.mark.parametrize(
    ("uses", "executors", "cores"),
    [
        ([use(ONE, ONE, 0.5, "0"), use(OTHER, OTHER, 0.5, "1")], CHILDREN, 2),  # each has a core of its own
        ([use(ONE, ONE, 0.5), use(OTHER, OTHER, 0.5)], CHILDREN, 2),
        ([use(ONE, ONE, 0.5, "0")], frozenset({(ONE, ONE)}), 2),  # one executor needs no more
        ([use(ONE, ONE, 0.5, "0"), use(OTHER, OTHER, 0.5, "0")], CHILDREN, 1),  # there is no more
        ([use(ONE, ONE, 0.5, ""), use(OTHER, OTHER, 0.5, "")], CHILDREN, 2),  # nobody read it
    ],
)
def test_who_is_not_pinned_to_one_core_with_others_is_not_accused(
    uses: list[ThreadUse], executors: frozenset[tuple[int, int]], cores: int
) -> None:
    assert named(seen(*uses, executors=executors), cpu=cpu(children=1.0).revised(cores=cores)) == []


POOLS = [use(pid, 10 * pid + n, 0.3, wait=0.3) for pid in (ONE, OTHER) for n in range(2)]


def test_children_times_engine_threads_beyond_the_cores_are_named_with_both_numbers() -> None:
    found = seen(use(ONE, ONE, 0.3, wait=0.3), use(OTHER, OTHER, 0.3, wait=0.3), *POOLS)
    assert (found.busy_executors, found.busy_engine) == (2, 4)
    one = record(cpu=cpu(children=1.9), cpu_verdict="over-subscribed 2.0 x").changed(silent=dict(found))
    (doubt,) = silent.doubts(one)
    assert (doubt.name, doubt.what) == (silent.OVERSUBSCRIBED, "2 executors and 4 engine threads want 2 cores")
    (own,) = silent.doubts(one.changed(asked={"cell": Cell(backend=OWN_APP, pool="prefork").as_dict()}))
    assert "engine_threads" in doubt.next_step
    assert "engine_threads" not in own.next_step, "that is a word of experiments"
    assert "OMP_NUM_THREADS" in own.next_step


def test_cores_that_executors_alone_fill_and_idle_pools_are_no_oversubscription_by_an_engine() -> None:
    many = frozenset((pid, pid) for pid in range(20, 28))
    alone = seen(*[use(pid, pid, 0.25, wait=0.75) for pid, _ in many], executors=many)
    assert named(alone, cpu_verdict="over-subscribed 4.0 x") == []
    idle = seen(use(ONE, ONE, 0.9), use(OTHER, OTHER, 0.9), *[use(ONE, 100 + n, 0.0) for n in range(8)])
    assert named(idle, cpu_verdict="over-subscribed 1.6 x") == []
    assert named(seen(use(ONE, ONE, 0.3), use(OTHER, OTHER, 0.3), *POOLS), cpu_verdict="saturated") == []


def test_threads_that_wait_for_a_core_that_others_took_are_no_oversubscription() -> None:
    found = seen(use(ONE, ONE, 0.3, wait=0.3), use(OTHER, OTHER, 0.3, wait=0.3), *POOLS)
    told = {"cpu_verdict": "over-subscribed 2.0 x", "figures_unusable": "machine too noisy"}
    assert named(found, **told) == []


def test_engine_threads_of_all_children_on_one_core_are_told_with_it() -> None:
    found = seen(use(ONE, ONE, 0.4), use(OTHER, OTHER, 0.4), use(ONE, 21, 0.5, "1"), use(OTHER, 22, 0.5, "1"))
    assert found.engine_core == 1
    (doubt,) = silent.doubts(record(cpu=cpu(children=1.9), cpu_verdict="over-subscribed 2 x").changed(silent=dict(found)))
    assert doubt.what.endswith("want 2 cores, and all engine threads are pinned to core 1")


def lost(alone: float | None, *engine: ThreadUse, behind: tuple[str, ...] = ("python", "python")) -> list[str]:
    found = seen(use(ONE, ONE, 0.4), use(OTHER, OTHER, 0.4), *engine)
    return named(found.revised(left_behind=behind, alone_share=alone))


def test_a_pool_of_threads_that_stayed_in_the_parent_is_named_where_it_computes_alone() -> None:
    assert lost(0.49) == [silent.LOST]


@pytest.mark.parametrize("alone", [None, 0.0, 0.1])
def test_threads_that_do_nothing_alone_are_not_missed(alone: float | None) -> None:
    assert lost(alone) == []


def test_children_with_threads_of_their_own_have_lost_none() -> None:
    assert lost(0.49, use(ONE, 21, 0.3), use(OTHER, 22, 0.3)) == []
    assert lost(0.49, behind=()) == []


def test_the_baseline_tells_what_the_engine_does_alone() -> None:
    assert silent.alone_share(facts(thread_cpu_s={"worker python": 3.0, "worker unnamed": 0.0, "ended": 3.0})) == 0.5
    assert silent.alone_share(facts(thread_cpu_s={"worker python": 3.0})) == 0.0
    assert silent.alone_share(facts(thread_cpu_s={})) is None
    assert silent.alone_share(None) is None
    known = record(
        cpu_facts=facts(thread_cpu_s={"worker python": 1.0, "worker engine": 3.0}), measured_s=1.0, measured_requests=9
    )
    assert plan.pace([known])["alone_share"] == 0.75
    assert plan.pace([])["alone_share"] is None


def errors(*sequences: list[float]) -> int:
    """Of processes that answer in turns."""
    rounds = list(zip(*sequences, strict=True))
    pids = np.array([pid for _ in rounds for pid in range(len(sequences))])
    return silent.equal_errors(pids, np.arange(len(pids)), np.array([one for each in rounds for one in each]))


RANDOM = list(np.random.default_rng(7).random(20))
OTHERS = list(np.random.default_rng(8).random(20))


def test_children_with_the_same_random_numbers_one_after_the_other_are_counted() -> None:
    assert errors(RANDOM, RANDOM) == 2
    assert errors(RANDOM, OTHERS, RANDOM) == 2
    assert errors(RANDOM, [one * (1 + 1e-9) for one in RANDOM]) == 2


@pytest.mark.parametrize(
    "sequences",
    [
        (RANDOM, OTHERS),
        ([1.0] * 20, [1.0] * 20),  # always off by one: wrong, and not random
        ([1.0 + n * 1e-12 for n in range(20)], [1.0 + n * 1e-12 for n in range(20)]),
        ([0.0] * 20, [0.0] * 20),
        ([2e-8, 4e-8] * 10, [2e-8, 4e-8] * 10),  # rounding errors
        ([float("inf")] * 20, [float("inf")] * 20),
        (RANDOM[:4], RANDOM[:4]),  # too few to tell
        (RANDOM,),
    ],
)
def test_other_numbers_wrong_answers_and_rounding_errors_are_no_equal_random_numbers(
    sequences: tuple[list[float], ...],
) -> None:
    assert errors(*sequences) == 0


def test_what_a_library_says_of_one_job_is_found_in_the_log_and_nothing_else_is(tmp_path: Path) -> None:
    said = "Loky-backed parallel loops cannot be called in a multiprocessing, setting n_jobs=1"
    log = tmp_path / "worker.log"
    log.write_text(f"[WARNING] .../joblib/parallel.py:1: UserWarning: {said}\n  n_jobs = effective()\n")
    assert worker_log.serial(worker_log.read(log)) == said
    log.write_text("parallel loops are nice\nsetting n_jobs=1 would be slower\n")
    assert worker_log.serial(worker_log.read(log)) == ""
    assert worker_log.serial(worker_log.read(tmp_path / "none")) == ""


def told() -> TrialRecord:
    return record().changed(silent={"serial": "a: b; c", "end": "SIGSEGV", "equal_errors": 2})


def test_what_needs_no_figures_is_told_without_them_and_its_parts_can_be_told_apart() -> None:
    found = doubts.of_trial(told())
    assert [one.name for one in found] == [silent.ONE_JOB, silent.CRASH, silent.EQUAL]
    assert [name for name, _ in doubts.parts(doubts.text(found))] == [one.name for one in found]


def test_each_is_advised_of_and_stands_in_the_diagnosis() -> None:
    text = [str(one) for one in doubts.of_trial(told())]
    one = told().changed(certainty={"doubts": text})
    assert doubts.deciding([one]) == tuple(text)
    real = Cell(backend="sklearn", pool="prefork").as_dict()
    assert "ended with SIGSEGV" in diagnoses.text([one.changed(asked={"cell": real})])
    wrong = one.changed(asked={"cell": real}, ended={"outcome": Outcome.WRONG})
    assert "the same random numbers" in diagnoses.text([wrong])


def test_a_record_keeps_the_facts_and_an_older_one_has_none() -> None:
    assert from_line(to_line(told())) == told()
    assert record().silent == Silent()


ENTRIES = {entry.name: entry for entry in CATALOGUE}


@pytest.mark.parametrize("name", ["pinned", "oversubscribed", "one-job", "crash-at-end", "equal-random"])
def test_a_fault_that_leaves_every_answer_in_place_is_missed_without_its_doubt(name: str) -> None:
    entry = ENTRIES[name]
    (outcome,) = entry.accepted
    silence = record(entry.cell(entry.pools[0], "celery"), outcome=outcome)
    assert judgement.mark(entry, silence) is Mark.MISCOUNTED
    assert judgement.mark(entry, silence.changed(certainty={"doubts": [f"{entry.doubt}: so, do"]})) is Mark.RIGHT


def test_a_healthy_trial_that_is_accused_is_misjudged() -> None:
    entry = ENTRIES["nothing"]
    healthy = record(entry.cell("prefork", "celery"))
    assert judgement.mark(entry, healthy) is Mark.RIGHT
    assert judgement.mark(entry, healthy.changed(certainty={"doubts": ["swap: 3 MiB, free some"]})) is Mark.RIGHT
    assert judgement.mark(entry, healthy.changed(certainty={"doubts": ["pinned: so, do"]})) is Mark.MISCOUNTED


def test_a_line_of_millions_of_signs_is_looked_through_in_one_go(tmp_path: Path) -> None:
    """A pattern that begins anew at each of them does not come to its end."""
    log = tmp_path / "worker.log"
    log.write_text(f"ValueError: {'x' * 2_000_000}\n")
    assert worker_log.serial(worker_log.read(log)) == ""
