"""Doubts: why a figure may not be what it seems, each with the next step. Pure: from records to words.

A doubt never removes a figure and never changes an outcome; it stands beside them, in `cells.csv` as text ('; '-joined, each
'name: what, next step'), in the terminal as its name behind the row. What spoils a trial altogether is not a doubt: that
trial is `invalid`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.certainty import intervals, stability
from harness.measure import counts, silent
from harness.measure.doubt import Doubt
from harness.records.outcomes import ANSWERED, Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Figures

DECIDE = ("no consumer", "backlog", "starved", *silent.NAMES)  # what a reader has to see though all answers were right
DISTURBED = ("others", "stolen", "CPU unknown")
OTHERS_SHARE = 0.10  # of the usable cores; the driver's own watching takes a few percent
STOLEN_SHARE = 0.02
STARVED_SHARE = 0.02
REPLACED_SHARE = 0.1  # of the answers: so many children that were replaced decide the pace
BACKLOG_SHARE = 0.1  # of the requests: less may be on its way when the last answer comes
LEAST_GROWTH_BYTES = 1 << 20
FREQUENCY_RATIO = 1.10
SWAPPED_BYTES = 1 << 20  # less is what any system does now and then
WIDE = 1.10  # half an interval, as a factor; pyperf warns at 10 %, too
MOST_TRIALS = 30  # that a next step asks for


def text(doubts: Sequence[Doubt | str]) -> str:
    """As a column of `cells.csv`."""
    return "; ".join(map(str, doubts))


def parts(column: str) -> list[tuple[str, str]]:
    """(name, what and next step) of each doubt in such a text.

    >>> parts("swap: 3 MiB were swapped, free some memory; unstable: windows differ, raise --measure-s")
    [('swap', '3 MiB were swapped, free some memory'), ('unstable', 'windows differ, raise --measure-s')]
    """
    return [(name, rest) for name, _, rest in (one.partition(": ") for one in column.split("; ")) if name]


def of_trial(record: TrialRecord, known: Figures | None = None) -> list[Doubt]:
    """About one trial; `known`: its figures, where its record holds none. Without figures there is nothing to doubt."""
    without = _without_figures(record)
    known = known or record.certainty.figures
    if record.certainty.unusable or known is None or not known.requests:
        return without
    found = [
        *without,
        *counts.of(known, record.client.sending, record.pace.waited_while_idle),
        _windows(known),
        _end(record),
        _starved(record),
        _growth(record),
        *_sending(record),
        *_machine(record),
    ]
    return [doubt for doubt in found if doubt is not None]


def _without_figures(record: TrialRecord) -> list[Doubt]:
    """A proof of a hang that did not stand, which is a defect of ours; whether it was measured to the end; and why the figures
    cannot be used. And what leaves every answer in place.
    """
    found = []
    if told := record.ended.withdrawn:
        what = f"{len(told)} proofs of a hang did not stand ({silent.plain(told[0])})"
        found.append(Doubt(name="withdrawn", what=what, next_step="report it with the trial's record and evidence"))
    if record.client.sending is not None and (why := record.client.sending.stopped):
        what = f"the measured phase ended {why.replace(', since', ' since')}"
        found.append(Doubt(name="stopped early", what=what, next_step="--thorough measures it to the end"))
    if why := record.certainty.unusable:
        found.append(Doubt(name="unusable", what=why, next_step="measure again: --retry invalid"))
    return [*found, *_backlog(record), *silent.doubts(record)]


def _backlog(record: TrialRecord) -> list[Doubt]:
    """The requests handed work on that was not done when they were answered; without a worker nobody would do it."""
    if record.as_cell.is_baseline:
        return []
    found, executors = [], record.pace.executors_seen or 1
    for one in record.answers.backlog:
        messages = one.waiting + one.reserved
        if not one.consumed:
            what = f"{one.waiting} messages of {one.task} wait in queue {one.queue}, which this worker does not consume"
            step = f"start a worker with -Q {one.queue} for that work, which is not in these figures, or probe with --queue"
            found.append(Doubt(name="no consumer", what=what, next_step=step))
        elif record.outcome in ANSWERED and messages > max(executors, BACKLOG_SHARE * record.answers.requests):
            what = f"{messages} messages of {one.task} still wait in queue {one.queue} when all requests are answered"
            found.append(Doubt(name="backlog", what=what, next_step="the rate is not one that this worker can keep up"))
    return found


def deciding(trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    """The doubts on record that decide, see DECIDE, each once."""
    return tuple(dict.fromkeys(text for one in trials for text in one.certainty.doubts if text.startswith(DECIDE)))


def disturbed(trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    """The doubts on record about the machine, each once: whoever chooses by these figures has to know."""
    return tuple(dict.fromkeys(text for one in trials for text in one.certainty.doubts if text.startswith(DISTURBED)))


def of_cell(trials: Sequence[TrialRecord], good: Sequence[TrialRecord], known: Sequence[Figures]) -> list[Doubt]:
    """About a cell's row: how many trials it rests on, and each doubt of a trial once, with the trials that raise it.

    `good`: the trials whose figures the row shows, `known`: these figures.
    """
    if not known:
        lost = [doubt for record in trials for doubt in _without_figures(record)]
        return list({doubt.name: doubt for doubt in lost}.values())
    spread = _width([one.throughput_per_s for one in known])
    alone = [_one_trial(), counts.width(known[0])] if len(known) == 1 else []
    found: dict[str, tuple[Doubt, int]] = {}
    for record, one in zip(good, known, strict=True):
        for doubt in of_trial(record, one):
            found[doubt.name] = (
                found[doubt.name][0] if doubt.name in found else doubt,
                found.get(doubt.name, (doubt, 0))[1] + 1,
            )
    own = [_counted(doubt, count, len(known)) for doubt, count in found.values()]
    return [doubt for doubt in (*alone, spread, _mixed(trials, good)) if doubt is not None] + own


def _counted(doubt: Doubt, count: int, trials: int) -> Doubt:
    what = doubt.what if trials == 1 else f"{doubt.what} ({count} of {trials} trials)"
    return Doubt(name=doubt.name, what=what, next_step=doubt.next_step)


def _one_trial() -> Doubt:
    return Doubt(name="1 trial", what="how much fresh workers differ is unknown", next_step="--repeat 5")


def _width(values: Sequence[float]) -> Doubt | None:
    """The interval is wide; how many trials would narrow it, if they differ as much as these."""
    span = intervals.over_trials(values)
    if span.low is None or span.high is None or (half := math.sqrt(span.high / span.low)) <= WIDE:
        return None
    deviation = math.log(half) * math.sqrt(len(values)) / intervals.t_quantile(len(values) - 1)
    enough = (k for k in range(len(values) + 1, MOST_TRIALS + 1) if _half(deviation, k) <= math.log(WIDE))
    more = next(enough, None)
    step = f"--repeat {more}" if more else "look for what makes its workers differ"
    return Doubt(name="wide", what=f"{len(values)} trials know the throughput within a factor {half:.2f} only", next_step=step)


def _half(deviation: float, trials: int) -> float:
    return intervals.t_quantile(trials - 1) * deviation / math.sqrt(trials)


def _mixed(trials: Sequence[TrialRecord], good: Sequence[TrialRecord]) -> Doubt | None:
    left_out = len([record for record in trials if record.outcome is not Outcome.SKIPPED]) - len(good)
    if not left_out or any(record.outcome not in ANSWERED for record in good):
        return None
    return Doubt(
        name="mixed ends",
        what=f"the figures are those of {len(good)} ok trials and leave {left_out} others out",
        next_step="read the outcomes first",
    )


def _windows(known: Figures) -> Doubt | None:
    if known.stable is not False:
        return None
    spreads = {"throughput": known.window_throughputs_per_s, "latency": known.window_latencies_s}
    what = " and ".join(f"{name} x {stability.spread(values):.2f}" for name, values in spreads.items())
    return Doubt(
        name="unstable",
        what=f"the windows of the measured phase differ by {what} (x {stability.SPREAD:.2f} is allowed)",
        next_step="raise --measure-s",
    )


def _end(record: TrialRecord) -> Doubt | None:
    if record.outcome in ANSWERED:
        return None
    return Doubt(
        name="not ok", what=f"the figures are from a trial that ended {record.outcome.value}", next_step="read its reason first"
    )


def _starved(record: TrialRecord) -> Doubt | None:
    if record.pace.starved is None or record.pace.starved < STARVED_SHARE:
        return None
    what = f"for {record.pace.starved:.0%} of the time requests waited and nobody worked"
    if record.answers.died and record.answers.died >= REPLACED_SHARE * record.answers.ok:
        what = f"{what}, and {record.answers.died} children were replaced"
        step = "keep children for longer: worker_max_tasks_per_child, worker_max_memory_per_child"
        return Doubt(name="starved", what=what, next_step=step)
    return Doubt(name="starved", what=what, next_step="try another prefetch or look at the broker")


def _sending(record: TrialRecord) -> list[Doubt | None]:
    """What the client saw: whether warm-up became stable, whether arrivals exceeded capacity, whether a peak held."""
    said = record.client.sending
    if said is None:
        return []
    cold = Doubt(
        name="warm-up",
        what="warm-up ended without becoming stable",
        next_step="raise --stable-limit-s",
    )
    overload = Doubt(
        name="overload",
        what=f"arrivals exceed capacity ({said.backlog_after} requests waited in the end) so that latency grows with the "
        "length of the measurement",
        next_step="read the throughput as the capacity and lower the rate",
    )
    peak = Doubt(
        name="peak", what=f"the search did not find it out ({said.peak})", next_step="raise --limit-s or try peak-p95-…"
    )
    unheld = Doubt(
        name="peak not held",
        what="the measured phase at the rate that was found did not keep the bound again",
        next_step="--repeat 5",
    )
    return [
        cold if said.warmup_stable is False else None,
        overload if said.overloaded else None,
        peak if said.peak and said.peak_per_s is None else None,
        unheld if said.peak_held is False else None,
    ]


def _growth(record: TrialRecord) -> Doubt | None:
    grown = record.memory.use.growth if record.memory.use else None
    if grown is None or not grown.certain or grown.bytes_per_s * grown.seconds < LEAST_GROWTH_BYTES:
        return None
    each = f", {grown.bytes_per_request / 1024:.1f} KiB a request" if grown.bytes_per_request is not None else ""
    return Doubt(
        name="growth",
        what=f"memory grew by {grown.bytes_per_s / 2**20:.2f} MiB per second{each}",
        next_step="raise --measure-s to see whether it goes on as a leak does",
    )


def _machine(record: TrialRecord) -> list[Doubt | None]:
    return [_unread(record), _others(record), _stolen(record), _frequency(record), _swap(record)]


def _unread(record: TrialRecord) -> Doubt | None:
    if record.cpu.use is not None or not (why := record.cpu.verdict_reason):
        return None
    what = f"{why}, so that nobody knows what else ran"
    return Doubt(name="CPU unknown", what=what, next_step="end other programs, or raise --measure-s")


def _others(record: TrialRecord) -> Doubt | None:
    cpu = record.cpu.use
    if cpu is None or (share := cpu.programs_share) < OTHERS_SHARE:
        return None
    which = "the cores" if cpu.usable == cpu.cores else f"the {cpu.usable:g} cores that we may use"
    what = f"other programs used {share:.0%} of {which}"
    return Doubt(name="others", what=what, next_step="end them and measure again with --fresh")


def _stolen(record: TrialRecord) -> Doubt | None:
    cpu = record.cpu.use
    if cpu is None or (share := cpu.steal / (cpu.window_s * cpu.cores)) < STOLEN_SHARE:
        return None
    return Doubt(
        name="stolen", what=f"the hypervisor took {share:.0%} of the cores", next_step="use a machine of your own or --repeat 5"
    )


def _frequency(record: TrialRecord) -> Doubt | None:
    noise = record.cpu.noise
    if noise is None or not noise.frequency_low_hz or not noise.frequency_high_hz:
        return None
    low, high = noise.frequency_low_hz / 1e9, noise.frequency_high_hz / 1e9
    if high / low < FREQUENCY_RATIO:
        return None
    return Doubt(
        name="frequency",
        what=f"the processor ran at {low:.1f} to {high:.1f} GHz",
        next_step="set the governor to performance or --repeat 5",
    )


def _swap(record: TrialRecord) -> Doubt | None:
    swapped = record.cpu.noise.swapped_bytes if record.cpu.noise else None
    if swapped is None or swapped < SWAPPED_BYTES:
        return None
    return Doubt(name="swap", what=f"{swapped / 2**20:.0f} MiB were swapped meanwhile", next_step="free some memory")
