"""Whether what Celery costs per request decides the pace, or the task's own rate limit, or what requests wait for, or something
else does. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.decide.advise.candidates import Candidate
from harness.experiment.pools import POOLS
from harness.experiment.traffic import parse
from harness.texts import milliseconds

OVERHEAD_SHARE = 0.25  # of the calls that one process makes without Celery
NULL_SHARE = 0.5  # of what the same pool serves if a request computes nothing: below, the task takes most of the time
UNEVEN_SHARE = 0.4  # of the requests in flight: the usual latency is not what the pace comes from
#: the mean call is another than the usual one from so many times it on, and so many seconds, which is far beyond what our own
#: loop takes between two serial calls (1.2 ms were seen on a full machine)
UNLIKE, LOOP_S = 2.0, 0.01
HELD_BACK = "it holds requests back while executors are idle"  # likewise, of one that gives far less than it allows
SETS_THE_PACE = "that limit sets the pace, not the pool"  # how the reason of a trial ends that a rate limit holds back
REPLACES = "replaces each child after"  # in the reason of a trial whose children are replaced often, by a setting
CROWDED = 0.25  # of the cores, used by other programs: from here on, the time in the task is not the task's own
#: cores that a worker uses, or lacks: below, nobody works for most of the time. Celery's own work takes far more at any pace
#: that it sets (0.4 to 1.2 were seen, 0.6 beside 80 % foreign load); requests that were put off for 1 s had 0.04 and 0.08
IDLE_CORES = 0.2
RATE_LIMITED = "it bounds the throughput"  # how a note of a task's own rate limit ends, see `worker.own_settings`

AGAINST_LIMIT = ("raise rate_limit, or start more workers: each has a limit of its own",)
AGAINST_WAITING = ("look at what puts requests off: a countdown or an eta, the delay of a retry, a broker that is far away",)
AGAINST_OVERHEAD = (
    "several rows per request: let the task take a list of rows, so that one message pays for all of them",
    "batches of calls: the task's chunks(rows, 100) sends 100 calls in one message",
    "choose a pool by what it does beside its pace: memory, time limits, what else the worker runs",
)


def overhead(fit: Sequence[Candidate]) -> str:
    """What to know if each of these configurations serves far fewer requests than one process makes calls without Celery.

    Nothing is said if something else bounds the pace: requests that are sent by the clock, the task's own rate limit, children
    that are replaced, a few long requests among short ones, a time that requests wait for while nobody works; or if the task
    itself takes the time: a request that computes nothing is served far faster by the same pool, or the task keeps the
    executors busy for most of the time.
    """
    if not fit or any(_bounded_otherwise(one) or _computes_little(one) or busy(one) or _idle(one) for one in fit):
        return ""
    rates, calls_s = zip(*((one.row["throughput_per_s"], _call_s(one)) for one in fit), strict=True)
    if any(not call_s or rate > OVERHEAD_SHARE / call_s for rate, call_s in zip(rates, calls_s, strict=True)):
        return ""
    mean = " in the mean" if any(map(_few_are_long, fit)) else ""
    return (
        f"what Celery costs per request decides: a call takes {milliseconds(calls_s[0])}{mean} without it, and with it "
        f"{_served(rates)}"
    )


def limited(fit: Sequence[Candidate]) -> str:
    """What to know if the task's own rate limit sets the pace of each of these configurations."""
    if not fit or not all(SETS_THE_PACE in one.reason or HELD_BACK in one.reason for one in fit):
        return ""
    rates = [one.row["throughput_per_s"] for one in fit]
    return f"the task's own rate limit decides, which each worker keeps for itself: {_served(rates)}"


def waited(fit: Sequence[Candidate]) -> str:
    """What to know if requests of each of these configurations are put off, by a countdown, a retry or a broker far away: they
    take long, and neither the task nor Celery works for most of that time."""
    if not fit or not all(_idle(one) and not (_bounded_otherwise(one) or _held(one)) for one in fit):
        return ""
    rates, call_s = [one.row["throughput_per_s"] for one in fit], _call_s(fit[0])
    takes_s = [one.row["latency_p50_s"] or parse(one.cell.traffic).in_flight / one.row["throughput_per_s"] for one in fit]
    alone = f", and {milliseconds(call_s)} without Celery" if call_s else ""
    return (
        f"what requests wait for decides, not the pool: one takes {milliseconds(max(takes_s))}{alone}, and nobody works for "
        f"most of that; {_served(rates)}"
    )


def _idle(one: Candidate) -> bool:
    """Whether a worker that had requests at hand is known to have used no core, and lacked none, for most of the time."""
    used, cores = one.row.get("cpu_saturation"), one.row.get("cores_available")
    if used is None or not cores or one.row["predict_p50_s"] is None or not parse(one.cell.traffic).in_flight:
        return False
    return bool(used * cores + (one.row.get("run_queue_wait_s_per_s") or 0.0) < IDLE_CORES)


def _served(rates: Sequence[float]) -> str:
    span = f"{min(rates):.4g}" + (f" to {max(rates):.4g}" if len(rates) > 1 else "")
    return f"{span} are served per second"


def _call_s(one: Candidate) -> float | None:
    """What a call takes without Celery: the usual one, or the mean if others take far longer. The pace is that of the mean."""
    call_s: float | None = one.row["baseline_mean_s" if _few_are_long(one) else "baseline_predict_s"]
    return call_s


def _few_are_long(one: Candidate) -> bool:
    usual_s, mean_s = one.row["baseline_predict_s"], one.row.get("baseline_mean_s")
    return bool(usual_s and mean_s) and mean_s > UNLIKE * usual_s + LOOP_S and not one.row.get("tasks")


def _bounded_otherwise(one: Candidate) -> bool:
    traffic = parse(one.cell.traffic)
    limited = any(RATE_LIMITED in note for note in one.notes) or any(text.startswith("starved") for text in one.doubts)
    return bool(traffic.rate_per_s) or limited or REPLACES in one.reason or uneven(one)


def _computes_little(one: Candidate) -> bool:
    """Whether a request that computes nothing is served far faster by the same pool."""
    return (one.row["overhead_fraction"] or 1.0) < NULL_SHARE


def busy(one: Candidate) -> bool:
    """Whether the task keeps the executors of this pool busy for most of the time."""
    return _held(one) and not _waits_for_a_core(one)


def _held(one: Candidate) -> bool:
    """Whether a request is in the task on most executors at most times, whatever it does there."""
    row, at_once = one.row, 1 if POOLS[one.cell.pool].executors == "greenlets" else one.cell.concurrency
    return bool((row["throughput_per_s"] or 0.0) * (row["predict_p50_s"] or 0.0) > NULL_SHARE * at_once)


def _waits_for_a_core(one: Candidate) -> bool:
    """Whether other programs had the cores, and a request took less CPU time in all processes than half of what it spent in
    the task: there it waited for a core, as Celery did. Beside 80 % foreign load, a query of 0.4 ms took 12 ms in a worker."""
    names = ("others_cpu_share", "cpu_s_per_request", "predict_p50_s")
    others, cpu_s, in_task_s = (float(one.row.get(name) or 0.0) for name in names)  # 0: not known
    return others >= CROWDED and 0.0 < cpu_s < NULL_SHARE * in_task_s


def uneven(one: Candidate) -> bool:
    """Whether the pace is not what the usual latency gives, by Little's law: a few requests took far longer. Those of a mix do,
    by what they are: its call is told by the mean."""
    if one.row.get("tasks"):
        return False
    rate, usual_s, in_flight = one.row["throughput_per_s"] or 0.0, one.row["latency_p50_s"], parse(one.cell.traffic).in_flight
    return usual_s is not None and bool(in_flight) and rate * usual_s < UNEVEN_SHARE * in_flight
