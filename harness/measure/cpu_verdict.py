"""What limited a trial, in words with its numbers: from the record's facts to a verdict. Pure.

The first rule that holds decides, in this order; shares are of the cores that we may use (affinity and CPU quota) and of the
measured window.

    client-bound        our load generator used more than 90 % of a core; the trial is `invalid`
    throttled           a CPU quota of a control group withheld at least 5 % of the core time that the group was ready to use
                        (`cpu.Throttled.share`), and the worker's own threads waited for at least 5 % of theirs
    over-subscribed k x at least 1.5 threads of the worker's tree a core could run, on average: k is the CPU time plus the
                        run-queue wait of its threads, a core and second. N endless loops on M cores give N / M
    saturated           less than 10 % of the cores were idle, and the worker's tree used the most of what was ours
    broker-bound        the broker used more than 85 % of a core, and runs commands in one thread (as a RabbitMQ does not)
    latency-bound       less than half of the time work waited: the traffic limits, or the latency of a single request
    GIL-bound           work waited, cores were idle, the Python threads of one process used 0.7 to 1.1 cores and could have
                        used 0.85 or more, the rest of the tree used less than half a core, and every request needs that
                        process: its executors share it (threads, greenlets, the main thread), or it is the main one, which
                        hands requests out. From 0.9 cores on it comes before latency-bound: the latency is then that
                        of a core with nothing left to give, whether or not requests are seen to queue
    starved             work waited beside free executors: a quarter of the executors' time or more
    executor-bound      work waited, cores were idle, and at least three quarters of the executors' time was taken by requests:
                        more executors (or engine threads) would use the cores
    cannot say          the cores were full and others used a quarter of them, or no rule holds

Why these thresholds: `harness.proof.instrument.burners` makes programs whose truth is known (endless loops, one or more a core;
Python threads that share a GIL; sleepers) and holds the rules against them. GIL-sharing threads use one core together
(1.1: two clocks are read, one after the other); beside other programs they use less, and their run-queue wait
tells what they could have used. The 10 % idle leave room for what no
scheduler fills between two requests. The client's limit is that of `outcome`.

Why 5 % is throttled: the kernel hands a quota to the cores in slices of 5 ms (sched_cfs_bandwidth_slice_us), so that in each
period of 100 ms a core may be held back for a slice beside a quota that is hardly used up. What withholds more than that
lengthens the work by more than 1 / (1 - 0.05), and the remedy is another quota, not more executors or fewer. The quota may be
that of a group above ours, used up by others in it while our threads sleep; so their own waits must show it, too (a kernel
that does not count those says 0, and is not asked).

*memory-bound* is never given. A core that waits for memory counts as busy; only hardware counters tell the two apart, which
virtual machines and containers usually withhold (`perf_event_paranoid`). A lock of the engine that lets one thread run
at a time looks like the GIL from outside. Where counters can be had:
`perf stat -e cycles,instructions,LLC-load-misses -p PID`; few instructions a cycle, well below 1, with many misses
speak for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.judge.unusable import CLIENT_LIMIT
from harness.records.cpu import CpuFacts, CpuUse, Occupancy

LEAST_WINDOW_S = 0.5
FULL_IDLE = 0.10
THROTTLED = 0.05
OVER_SUBSCRIBED = 1.5
BROKER_LIMIT = 0.85
WORK_WAITS = 0.5
USED, WANTED = (0.70, 1.10), 0.85  # cores
SPENT = 0.90  # of the one core that Python threads share: it has nothing left to give
STARVED = 0.25
EXECUTORS_BUSY = 0.75
BESIDE = 0.5
OTHERS = 0.25
SHARED = ("threads", "greenlets", "main")  # executors that share one interpreter


class CpuWord(StrEnum):
    """The verdicts."""

    CLIENT_BOUND = "client-bound"
    THROTTLED = "throttled"
    OVER_SUBSCRIBED = "over-subscribed"
    SATURATED = "saturated"
    BROKER_BOUND = "broker-bound"
    LATENCY_BOUND = "latency-bound"
    GIL_BOUND = "GIL-bound"
    STARVED = "starved"
    EXECUTOR_BOUND = "executor-bound"
    CANNOT_SAY = "cannot say"


@dataclass(frozen=True, kw_only=True)
class CpuVerdict:
    """`reason` is one sentence with the numbers."""

    word: CpuWord
    reason: str
    times: float | None = None  # over-subscribed: threads that could run, a core

    def __str__(self) -> str:
        return f"{self.word} {self.times:.1f} x" if self.times is not None else str(self.word)


def judge(cpu: CpuUse, facts: CpuFacts | None) -> CpuVerdict:
    """The verdict on one trial's measured window."""
    if facts is None or cpu.window_s < LEAST_WINDOW_S:
        return CpuVerdict(word=CpuWord.CANNOT_SAY, reason=f"the measured phase was watched for {cpu.window_s:.1f} s only")
    if cpu.client / cpu.window_s > CLIENT_LIMIT:
        reason = f"the load generator used {cpu.client / cpu.window_s:.2f} of a core, so the worker was not what limited"
        return CpuVerdict(word=CpuWord.CLIENT_BOUND, reason=reason)
    return _throttled(cpu, facts) or _full(cpu, facts) or _waiting(cpu, facts)


def _throttled(cpu: CpuUse, facts: CpuFacts) -> CpuVerdict | None:
    """A quota is what limits."""
    held = cpu.held_back
    if held is None or (share := held.share(cpu.window_s)) < THROTTLED:
        return None
    waited_s, ran_s = facts.run_queue_wait_s / facts.span_s, cpu.worker_tree / cpu.window_s
    if waited_s and waited_s < THROTTLED * (waited_s + ran_s):
        return None
    whose = "" if held.level == 0 else ", of a control group above ours,"
    reason = (
        f"the CPU quota of {_cores(held.quota)}{whose} withheld {share:.0%} of the core time that was asked for, and struck in "
        f"{held.throttled_periods} of {held.periods} periods; {_split(cpu)}"
    )
    return CpuVerdict(word=CpuWord.THROTTLED, reason=reason)


def _full(cpu: CpuUse, facts: CpuFacts) -> CpuVerdict | None:
    """The cores are what limits."""
    times = cpu.saturation + facts.run_queue_wait_s / (facts.span_s * cpu.usable)
    split = _split(cpu)
    if times >= OVER_SUBSCRIBED:
        queue = (
            f"its threads waited {facts.run_queue_wait_s / facts.span_s:.1f} s per second for a core and were pushed off one "
            f"{facts.involuntary_switches / facts.span_s:.0f} times per second"
        )
        return CpuVerdict(word=CpuWord.OVER_SUBSCRIBED, times=times, reason=f"{split}; {queue}")
    if cpu.idle_share >= FULL_IDLE:
        return None
    if cpu.others_share >= OTHERS:
        return CpuVerdict(word=CpuWord.CANNOT_SAY, reason=f"the cores were full, and not with us alone: {split}")
    if cpu.worker_tree >= cpu.ours / 2:
        return CpuVerdict(word=CpuWord.SATURATED, reason=split)
    return None


def _split(cpu: CpuUse) -> str:
    """Who used the cores that we may use. Of others, what they kept from us: see `CpuUse.others_share`."""
    usable_s = cpu.window_s * cpu.usable
    return (
        f"{cpu.saturation:.0%} of {_cores(cpu.usable)} were busy with the worker's processes, "
        f"{cpu.broker / usable_s:.0%} with the broker, {cpu.client / usable_s:.0%} with the client, "
        f"{cpu.others_share:.0%} with others"
    )


def _waiting(cpu: CpuUse, facts: CpuFacts) -> CpuVerdict:
    """Cores are idle, or taken by the broker and the client: what keeps the worker from its work."""
    busy = f"{_cores(cpu.usable)} were idle for {cpu.idle_share:.0%} of the time"
    broker = cpu.broker / cpu.window_s
    if broker > BROKER_LIMIT and not facts.broker_spread:
        return CpuVerdict(word=CpuWord.BROKER_BOUND, reason=f"the broker, one thread, used {broker:.2f} of a core; {busy}")
    seen = facts.occupancy
    if seen is None:
        return CpuVerdict(word=CpuWord.CANNOT_SAY, reason=f"{busy}, and no request says whether work waited")
    if cpu.idle_share < FULL_IDLE:
        return CpuVerdict(word=CpuWord.CANNOT_SAY, reason=f"{busy}, and the broker and the client took the most of the others")
    if _one_interpreter(cpu, facts, seen) and facts.python_cores[0] >= SPENT:
        return CpuVerdict(word=CpuWord.GIL_BOUND, reason=f"{_interpreter(facts)}; {busy}")
    if seen.work_waits < WORK_WAITS:
        reason = f"work waited in {seen.work_waits:.0%} of the time only, the rest is what one request takes; {busy}"
        return CpuVerdict(word=CpuWord.LATENCY_BOUND, reason=reason)
    busy = f"{busy} while work waited" if seen.idle_with_work is not None else busy
    if _one_interpreter(cpu, facts, seen):
        return CpuVerdict(word=CpuWord.GIL_BOUND, reason=f"{_interpreter(facts)}; {busy}")
    if (seen.idle_with_work or 0.0) >= STARVED:
        reason = f"executors were free for {seen.idle_with_work:.0%} of their time while work waited; {busy}{_unseen(facts)}"
        return CpuVerdict(word=CpuWord.STARVED, reason=reason)
    if seen.executors_busy >= EXECUTORS_BUSY:
        reason = f"requests held the executors for {seen.executors_busy:.0%} of their time; {busy}"
        return CpuVerdict(word=CpuWord.EXECUTOR_BOUND, reason=reason)
    unknown = "; whether work waited for them, or for a moment that its own task named, is not known"
    held = f"executors were busy for {seen.executors_busy:.0%} of their time{unknown if seen.idle_with_work is None else ''}"
    return CpuVerdict(word=CpuWord.CANNOT_SAY, reason=f"{held}; {busy}")


def _one_interpreter(cpu: CpuUse, facts: CpuFacts, seen: Occupancy) -> bool:
    """The Python threads of exactly one process want one core, requests cannot do without them, and little else computes.

    A single executor that is busy with its requests is no proof of a GIL: it may compute in native code.
    """
    first, second = [*facts.python_cores, 0.0, 0.0][:2]
    one_core = USED[0] <= first <= USED[1] and facts.python_demand[0] >= WANTED
    through_it = facts.executor_kind in SHARED or (facts.executor_kind == "processes" and facts.busiest_role == "worker")
    alone = facts.executor_kind == "threads" and seen.executors == 1 and seen.executors_busy >= EXECUTORS_BUSY
    beside = cpu.worker_tree / cpu.window_s - first
    return one_core and max(second, beside) < BESIDE and through_it and not alone


def _interpreter(facts: CpuFacts) -> str:
    where = "the worker's main process" if facts.busiest_role == "worker" else "one child"
    count = facts.busy_python_threads
    threads = f"{count} Python threads of {where} took turns at" if count > 1 else f"the one busy Python thread of {where} used"
    return f"{threads} {facts.python_cores[0]:.2f} cores"


def _unseen(facts: CpuFacts) -> str:
    return "" if facts.broker_watched else "; the broker is not ours, and what it did was not seen"


def _cores(count: float) -> str:
    return f"{count:.3g} core{'s' if count != 1 else ''}"
