"""Figures of one trial: pace, percentiles, windows, and how certain they are. Computed once, as the trial ends.

They stand in the trial's record, so that the table of thousands of trials needs no request file; what is raw stays in the
file, and for a record without figures (schema 1) they are computed from it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.certainty import few, intervals, stability
from harness.certainty.few import Loop
from harness.experiment.traffic import parse
from harness.records import answers
from harness.records.answers import NS, Measured, Requests
from harness.records.record import TrialRecord
from harness.records.sections import Figures, Pace
from harness.records.sending import Sending

PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def of(record: TrialRecord, folder: Path) -> Figures | None:
    """The figures of a record of the run in `folder`; None where nothing was measured, or its requests are gone."""
    if (
        record.certainty.figures is not None
        or record.certainty.unusable
        or not (record.pace.measured_s and record.pace.measured_requests and record.answers.requests_file)
    ):
        return record.certainty.figures
    try:
        measured = answers.measured(folder / record.answers.requests_file)
    except FileNotFoundError:
        return None
    return of_trial(measured, record.pace, traffic=record.asked.cell.get("traffic", "single"), sending=record.client.sending)


def of_trial(
    measured: Measured, pace: Pace, *, traffic: str, sending: Sending | None, loop: Loop | None = None
) -> Figures | None:
    """The figures of a trial's measured requests; None where nothing was measured. `loop`: see `of_loop`."""
    if not (pace.measured_s and pace.measured_requests):
        return None
    kind = parse(traffic)
    found = compute(
        measured,
        seconds=pace.measured_s,
        requests=pace.measured_requests,
        backlog=kind.backlog,
        chance=kind.chance,
        cut_off=sending is not None and sending.cut_off > 0,
    )
    return of_few(found, loop) if loop is not None else found


def of_loop(requests: Requests, traffic: str, executors: int, sending: Sending | None) -> Loop | None:
    """What few, long requests of closed traffic tell; None if they were measured in another way, or are many."""
    kind = parse(traffic)
    if sending is None or not sending.few or not kind.in_flight:
        return None
    columns = {name: values[requests.measured()] for name, values in requests.columns.items() if name != "answers"}
    if not 0 < len(columns["begin"]) <= few.MOST or (columns["begin"] < 0).any():
        return None
    who = list(zip(columns["pid"].tolist(), columns["tid"].tolist(), strict=True))
    first = {who[number]: number for number in np.argsort(columns["begin"], kind="stable")[::-1]}
    runs = few.Runs(
        sent=columns["intended"] * NS,
        received=columns["received"] * NS,
        begin=columns["begin"] * NS,
        end=columns["predict_end"] * NS,
        first=np.isin(np.arange(len(who)), list(first.values())),
    )
    return few.of(runs, in_flight=kind.in_flight, executors=executors, cold=sending.cold)


def of_few(found: Figures, loop: Loop) -> Figures:
    """With the figures that hold for few requests, in place of those that count them between two moments."""
    others = {name: value for name, value in found.latency_s.items() if name != "p50"}
    p50 = {} if loop.median_s is None else {"p50": loop.median_s}
    return found.revised(
        requests=loop.requests,
        throughput_per_s=loop.rate_per_s,
        throughput_span_per_s=loop.rate_span,
        latency_s={**p50, **others},
        latency_span_s={"p50": loop.median_span} if p50 else {},
        predict_p50_s=loop.service_s,
        cold=loop.cold,
    )


def compute(
    measured: Measured, *, seconds: float, requests: int, backlog: bool, chance: bool = False, cut_off: bool = False
) -> Figures:
    """`seconds` of the measured phase, in which `requests` were answered rightly.

    `backlog`: all requests were published at once, so that latency grows through the phase; neither batches nor windows of
    it are alike, and only its percentiles are given. `chance`: arrivals are random, so that windows differ whether the
    worker is stable or not: then nothing is said of that. `cut_off`: the slowest requests were withdrawn and have no latency,
    so that percentiles of the others would be too good to be true: none is given.
    """
    latency, rate = measured.latency_s, requests / seconds
    percentiles = {} if cut_off else PERCENTILES
    begin_s = float((measured.received_s - latency).min()) if len(latency) else 0.0
    known = {name: intervals.percentile(latency, fraction) for name, fraction in percentiles.items()}
    spans = {} if backlog else {name: intervals.of_percentile(latency, PERCENTILES[name]) for name in known}
    throughputs, latencies = windows(measured, begin_s, seconds)
    return Figures(
        requests=len(latency),
        throughput_per_s=rate,
        throughput_span_per_s=intervals.of_rate(measured.received_s, begin_s, rate),
        latency_s={name: value for name, value in known.items() if value is not None},
        latency_span_s={name: span for name, span in spans.items() if span != intervals.NOTHING},
        predict_p50_s=intervals.percentile(measured.predict_s, 0.5),
        window_throughputs_per_s=throughputs,
        window_latencies_s=latencies,
        stable=stability.stable(throughputs, [] if backlog else latencies) if throughputs and not chance else None,
    )


def windows(measured: Measured, begin_s: float, seconds: float) -> tuple[list[float], list[float]]:
    """(requests per second, mean latency in seconds) of three equal spans of the measured phase: all of it is judged.

    Nothing where three windows would hold fewer requests than the rule needs, see `stability`.
    """
    count = stability.WINDOWS
    if len(measured.received_s) < count * stability.LEAST_REQUESTS:
        return [], []
    edges = begin_s + seconds * np.arange(count + 1) / count
    numbers = np.searchsorted(edges[1:-1], measured.received_s, side="right")
    held = np.bincount(numbers, minlength=count)
    totals = np.bincount(numbers, weights=measured.latency_s, minlength=count)
    return (held * count / seconds).tolist(), (totals / np.maximum(held, 1)).tolist()
