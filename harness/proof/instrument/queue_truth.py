"""Truth tests of open traffic: queues whose waiting times are known beforehand.

A server with a fixed service time (`proof.instrument.responder`) and the real client with `poisson-R` make M/D/1 and M/D/2 of
textbooks; broker, wire, clock, schedule and log are all in the figure.

*Why a control variate.* The mean wait over half a minute of Poisson arrivals differs from the formula by 10 % and more by the
chance of these arrivals alone. The same arrivals, as they were meant to be sent, also go through Lindley's recursion, whose
mean differs from the formula by just that chance. So the figure is *measured mean - recursion's mean + formula's mean*, and
the raw mean stands in the note beside it.

*What a wait is.* Latency less the latency of a request that does not wait: service, and the way to the server and back. That
is taken from the same run, as the mean of the requests that by the recursion met an idle server.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from harness.machine.processes import OwnedProcess
from harness.proof.instrument import queueing, rig
from harness.proof.instrument.finding import Finding
from harness.proof.instrument.queueing import Floats, Freeze
from harness.proof.instrument.rig import NS, Ran, Rig

SERVICE_S = 0.020
LOAD = 0.7
TOLERANCE = 0.05
FREEZE_S = 1.0
FREEZE_AFTER_S = 5.0  # of the measured phase
HIDDEN = 0.1  # a closed loop's p99 stays below this share of the open one's


def one_server(folder: Path, *, seconds: float = 35.0, seed: int = 1) -> Finding:
    """(b) M/D/1 at 70 % load: the mean wait is within 5 % of Pollaczek and Khinchine's formula."""
    rate = LOAD / SERVICE_S
    with rig.opened(folder) as bench, bench.responder(service_s=SERVICE_S):
        ran = bench.client(f"poisson-{rate:g}", measure_s=seconds, seed=seed)
    return _mean_wait(ran, "mean wait in an M/D/1 queue at 70 % load", queueing.mean_wait_s(rate, SERVICE_S), servers=1)


def two_servers(folder: Path, *, seconds: float = 20.0, seed: int = 1) -> Finding:
    """(c) M/D/2 at 70 % load: the mean wait is within 5 % of a simulation with the same arrivals."""
    rate = 2 * LOAD / SERVICE_S
    with rig.opened(folder) as bench, bench.responder(service_s=SERVICE_S, servers=2):
        ran = bench.client(f"poisson-{rate:g}", measure_s=seconds, seed=seed)
    return _mean_wait(ran, "mean wait in an M/D/2 queue at 70 % load", None, servers=2)


def frozen(folder: Path, *, seconds: float = 20.0, seed: int = 1) -> Finding:
    """(d) A server that freezes for 1 s: p99 of open traffic shows what the recursion says; a closed loop hides it."""
    rate = LOAD / SERVICE_S
    with rig.opened(folder) as bench, bench.responder(service_s=SERVICE_S) as server:
        ran, freeze = _with_freeze(bench, server, f"poisson-{rate:g}", seconds, seed)
        closed, _ = _with_freeze(bench, server, "single", seconds, seed)
    theory = SERVICE_S + recursion_s(ran, servers=1, freeze=freeze)
    told, true, hidden = (float(np.quantile(one, 0.99)) for one in (ran.latency_s(), theory, closed.latency_s()))
    return Finding(
        name="p99 of open traffic with a server that froze for 1 s, over what the recursion says",
        figure=told / true,
        bound=f"1 +- {TOLERANCE:g}, and a closed loop's below {HIDDEN:g} of it",
        passed=abs(told / true - 1) <= TOLERANCE and hidden <= HIDDEN * told and _in_time(ran),
        note=f"open {told:.4f} s, recursion {true:.4f} s; closed {hidden:.4f} s with a longest of "
        f"{closed.latency_s().max():.2f} s; {_sends(ran)}",
    )


def _mean_wait(ran: Ran, name: str, formula_s: float | None, *, servers: int) -> Finding:
    """The measured mean wait, without the chance of its arrivals, over the true one."""
    latency, waits = ran.latency_s(), recursion_s(ran, servers=servers)
    unloaded, recursion = float(latency[waits <= 0].mean()), float(waits.mean())
    raw = float(latency.mean()) - unloaded
    true = recursion if formula_s is None else formula_s
    told = raw - recursion + true
    formula = "" if formula_s is None else f"formula {formula_s * 1e3:.3f} ms, "
    return Finding(
        name=f"{name}, over the true one",
        figure=told / true,
        bound=f"1 +- {TOLERANCE:g}",
        passed=abs(told / true - 1) <= TOLERANCE and _in_time(ran),
        note=f"raw mean {raw * 1e3:.3f} ms, recursion on the same arrivals {recursion * 1e3:.3f} ms, {formula}"
        f"{len(latency)} requests; one that does not wait takes {unloaded * 1e3:.2f} ms; {_sends(ran)}",
    )


def recursion_s(ran: Ran, *, servers: int, freeze: Freeze | None = None) -> Floats:
    """(measured requests,) the waits that the recursion gives for the arrivals as they were meant to be sent.

    It begins with the first request of the open traffic, which meets an empty queue: those before were awaited.
    """
    columns, measured = ran.columns, ran.measured
    intended = columns["intended"] * NS
    lead = columns["intended"] != columns["published"]  # in closed traffic they are the same
    open_traffic = lead | measured
    waits = np.full(len(intended), np.nan)
    waits[open_traffic] = queueing.waits_s(intended[open_traffic], SERVICE_S, servers=servers, freeze=freeze)
    return waits[measured]


def _with_freeze(bench: Rig, server: OwnedProcess, traffic: str, seconds: float, seed: int) -> tuple[Ran, Freeze]:
    """Run the client, and stop the server for FREEZE_S in the midst of it."""
    spans: list[Freeze] = []

    def freeze() -> None:
        time.sleep(FREEZE_AFTER_S)
        os.kill(server.pid, signal.SIGSTOP)
        begin_s = time.monotonic()
        time.sleep(FREEZE_S)
        os.kill(server.pid, signal.SIGCONT)
        spans.append(Freeze(begin_s=begin_s, end_s=time.monotonic()))

    ran = bench.client(traffic, measure_s=seconds, seed=seed, meanwhile=freeze)
    return ran, spans[0]


def _in_time(ran: Ran) -> bool:
    """The client's own rule for a trial that it may not spoil."""
    return ran.sending.late <= 0.01 * ran.sending.sends


def _sends(ran: Ran) -> str:
    return f"{ran.sending.late} of {ran.sending.sends} sends late"
