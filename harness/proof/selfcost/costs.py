"""What the instrument costs and how much it can do, each figure with its bound: `harness selfcost` runs them all.

Bounds on the sampler, the client, a million requests and ten thousand cells are the project's promises; the others keep a
figure that is known from getting worse unseen. Ratios are of two things that were measured in turns in one run.
"""

from __future__ import annotations

import statistics

from harness.broker import rabbitmq
from harness.certainty import intervals
from harness.machine import cores
from harness.proof.instrument.finding import Finding, at_least, at_most
from harness.proof.instrument.suite import Bench, InstrumentCheck
from harness.proof.selfcost import agent, client, looking, records, sampler, stamps
from harness.run.hosts import quiet

LINEAR = 1.2  # power of N: sorting adds a logarithm to a linear cost, a quadratic one has 2
CORE_SHARE = 0.01
SUMMARY_S, SUMMARY_BYTES = 5.0, 500e6
LISTING_S = 1.0
TABLE_S = 2.0
PAGE_S, PAGE_BYTES = 30.0, 10e6
RECORD_REQUEST_S = 20e-6
APPEND_S = 0.05  # synced to disk, once a trial
CELLS = (10_000, 20_000, 40_000)  # with fewer, Python's full garbage collections come late, and the first is a step
ROUNDS = 3
LOOKED_CPU = 1.02  # of a request beside looks, over one without
WHY_S = 3.0  # CPU seconds of ours, each time
STAMPS_S = 100e-6  # of a request that takes a null worker a millisecond or more


def _sampler(bench: Bench) -> list[Finding]:
    cost = sampler.measure()
    note = f"{cost.processes} processes, {cost.threads} threads; {cost.call_s * 1e3:.2f} ms a sample"
    return [
        at_most("CPU of watching, share of a core", cost.share, CORE_SHARE, note=note),
        at_most("CPU of watching grows with N processes like N to the power", sampler.growth(), LINEAR),
    ]


def _client_cpu(bench: Bench) -> list[Finding]:
    return _cpu(client.cpu_per_request(bench.folder, bench.environment), "")


def _client_cpu_on_rabbitmq(bench: Bench) -> list[Finding]:
    return _cpu(client.cpu_on_rabbitmq(bench.folder, bench.environment), " on RabbitMQ")


def _cpu(found: client.Comparison, where: str) -> list[Finding]:
    ours, celerys = (sum(side.cpu_s for side in sides) / len(sides) for sides in (found.ours, found.celerys))
    note = f"{ours * 1e6:.0f} and {celerys * 1e6:.0f} microseconds, one request at a time on the same real worker"
    return [at_most(f"the client's CPU a request{where}, share of Celery's own", found.cpu_ratio, client.CPU_BOUND, note=note)]


def _client_capacity(bench: Bench) -> list[Finding]:
    found = client.capacity(bench.folder)
    ours, celerys = (sum(side.per_s for side in sides) / len(sides) for sides in (found.ours, found.celerys))
    note = f"{ours:.0f} and {celerys:.0f} requests per second against a responder that answers at once"
    return [at_least("the client's capacity over Celery's own", found.capacity_ratio, client.CAPACITY_BOUND, note=note)]


def _client_limits(bench: Bench) -> list[Finding]:
    pool, concurrency = client.roomy()
    roomy = client.drains(bench.folder / "roomy", bench.environment, pool=pool, concurrency=concurrency)
    full = client.drains(
        bench.folder / "full", bench.environment, pool="prefork", concurrency=cores.to_fill(), turns=client.FEW_SPELLS
    )
    return [
        at_least(
            f"closed traffic of a no-op worker ({pool}) over the rate at which it drains a backlog",
            roomy.ratio, client.DRAIN_BOUND, note=_ratio(roomy),
        ),
        at_least(
            "requests that wait for a no-op worker (prefork) on all cores, at the least", full.least_waiting, 1,
            note=f"it shares them with the client and the broker, and is at {_ratio(full)}",
        ),
    ]  # fmt: skip


def _ratio(found: client.Drains) -> str:
    closed, drained = (sum(rates) / len(rates) for rates in (found.closed_per_s, found.drain_per_s))
    low, high = intervals.over_trials(found.ratios)
    turns = f"{len(found.ratios)} turns; on average {closed:.0f} and {drained:.0f} a second"
    return f"{found.ratio:.3f} ({low:.3f} - {high:.3f} at 95 %, {turns})"


def _stamps(bench: Bench) -> list[Finding]:
    cost = stamps.measure(bench.environment)
    return [at_most("CPU of the waterfall's stamps in the worker, a request", cost.request_s, STAMPS_S, "s")]


def _recording(bench: Bench) -> list[Finding]:
    return [
        at_most("CPU of checking and recording, a request", records.record_requests(), RECORD_REQUEST_S, "s"),
        at_most("appending a trial's record, synced", records.append_records(), APPEND_S, "s"),
    ]


def _summary(bench: Bench) -> list[Finding]:
    costs = tuple(records.summarise(size) for size in records.SIZES)
    million = f"{records.SIZES[-1]:,} requests".replace(",", " ")
    note = ", ".join(f"{size} in {cost.seconds:.2f} s" for size, cost in zip(records.SIZES, costs, strict=True))
    return [
        at_most(f"CPU of reading and summarising {million}", costs[-1].seconds, SUMMARY_S, "s"),
        at_most(f"memory of reading and summarising {million}", costs[-1].peak_bytes / 1e6, SUMMARY_BYTES / 1e6, "MB"),
        at_most("CPU of summarising grows with N requests like N to the power", records.growth(costs=costs), LINEAR, note=note),
    ]


def _cells(bench: Bench) -> list[Finding]:
    listed, tabulated = (
        [min(costs) for costs in zip(*([cost(size) for size in CELLS] for _ in range(ROUNDS)), strict=True)]
        for cost in (records.list_cells, records.tabulate)
    )  # by turns: a machine's pace wanders, and a slower hour must hit all sizes alike
    return [
        at_most("CPU of listing 10 000 cells", listed[0], LISTING_S, "s"),
        at_most("CPU of listing grows with N cells like N to the power", sampler.power(CELLS, tuple(listed)), LINEAR),
        at_most("CPU of reading 10 000 trials and making their table", tabulated[0], TABLE_S, "s"),
        at_most("CPU of the table grows with N trials like N to the power", sampler.power(CELLS, tuple(tabulated)), LINEAR),
    ]


def _page(bench: Bench) -> list[Finding]:
    seconds, size = records.write_page()
    what = "the page of 500 cells and 1 000 000 requests"
    return [
        at_most(f"CPU of writing {what}", seconds, PAGE_S, "s"),
        at_most(f"size of {what}", size / 1e6, PAGE_BYTES / 1e6, "MB"),
    ]


def _agent(bench: Bench) -> list[Finding]:
    cost = agent.measure(bench.folder)
    note = f"{cost.share:.4%} in {cost.seconds:.0f} s, {cost.threads} threads"
    return [at_most("CPU of an agent that waits for blocks, share of a core", cost.share, quiet.SHARE, note=note)]


def _why(bench: Bench) -> list[Finding]:
    found = looking.measure(bench.folder, bench.environment)
    ratio, (low, high) = statistics.geometric_mean(found.ratios), intervals.over_trials(found.ratios)
    assert low is not None
    assert high is not None
    turns = f"{len(found.ratios)} turns, {found.right} requests; the load of the machine was {found.load:.1f}"
    seen = f"{sum(found.states.values())} readings of a thread's state: {found.states}"
    after = f"after {found.looks} looks"
    return [
        at_most(f"signals handled {after}", found.signals, 0),
        at_most(f"settings, files and rests that differ {after}", len(found.changed), 0, note="; ".join(found.changed)),
        at_most(f"wrong answers {after}", found.wrong, 0, note=f"{found.right} right ones"),
        at_most("threads seen stopped or traced", found.stopped, 0, note=seen),
        at_most(
            "CPU of a request beside looks, over that of one without: the upper end of its interval", high, LOOKED_CPU,
            note=f"{ratio:.3f} ({low:.3f} - {high:.3f} at 95 %); {turns}",
        ),
        at_most("our own CPU for one answer about three processes", found.why_s, WHY_S, "s"),
    ]  # fmt: skip


COSTS = (
    InstrumentCheck(name="sampler", title="watching a tree of processes", find=_sampler),
    InstrumentCheck(name="client-cpu", title="the client's CPU beside Celery's own", find=_client_cpu),
    InstrumentCheck(
        name="client-amqp",
        title="the client's CPU on RabbitMQ beside Celery's own",
        find=_client_cpu_on_rabbitmq,
        long=bool(rabbitmq.lacking()),
    ),
    InstrumentCheck(name="client-capacity", title="the client's capacity beside Celery's own", find=_client_capacity),
    InstrumentCheck(name="client-limits", title="whether the client limits a no-op worker", find=_client_limits),
    InstrumentCheck(name="why", title="a worker that is looked at", find=_why, long=True),
    InstrumentCheck(name="agent", title="an agent that waits", find=_agent),
    InstrumentCheck(name="stamps", title="the waterfall's stamps", find=_stamps),
    InstrumentCheck(name="recording", title="recording requests and trials", find=_recording),
    InstrumentCheck(name="summary", title="a million requests", find=_summary),
    InstrumentCheck(name="cells", title="ten thousand cells", find=_cells),
    InstrumentCheck(name="page", title="the page of a large run", find=_page),
)
