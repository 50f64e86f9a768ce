"""Every figure that the pages give is the one in `results/`: computed again here, from the runs on record."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache

import pandas as pd
import pytest

from harness.atlas import stored
from tests.doc_pages import DOCS, README, ROOT, rows

RESULTS = ROOT / "results"
BACKENDS = {
    "tensorflow2": "TensorFlow 2.21",
    "tensorflow1": "TensorFlow 1.13",
    "tensorflow1_15": "TensorFlow 1.15",
    "theano": "Theano 1.0",
}
TENSORFLOW = ("tensorflow2", "tensorflow1", "tensorflow1_15")
POOLS = ("prefork", "prefork-spawn", "threads", "gevent", "eventlet", "solo")
CHOOSE, STUCK = DOCS / "how-to/choose-a-pool.md", DOCS / "explanation/stuck-pools.md"


@cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / name, keep_default_na=False, na_values=[""])


@cache
def full() -> pd.DataFrame:
    """The cells with a model of the reference run, without those that cannot exist."""
    cells = table("full/cells.csv")
    return cells[(cells.backend != "null") & (cells.pool != "in-process") & (cells.outcome != "skipped")]


def ok_of(cells: pd.DataFrame) -> str:
    return f"{(cells.outcome == 'ok').sum()} of {len(cells)} cells"


def raised(cells: pd.DataFrame) -> str:
    return f"{(cells.outcome == 'errors').sum()} of {len(cells)} cells"


def of(cell: str, column: str) -> float:
    return float(full().set_index("cell").loc[cell, column])


def pace(pool: str, call: str, workload: str = "") -> float:
    return of(f"tensorflow2-{pool}-c2-first-task-{call}{workload}", "throughput_per_s")


def memory(pool: str) -> str:
    return f"{of(f'tensorflow2-{pool}-c2-first-task-predict_on_batch', 'peak_pss_bytes') / 2**20:.0f}"


def in_pools(backend: str, *pools: str, least: int = 1) -> pd.DataFrame:
    cells = full()
    return cells[(cells.backend == backend) & cells.pool.isin(pools) & (cells.concurrency >= least)]


def claimed(claim: str, backend: str = "overall") -> str:
    found = table("claims/claims.csv")
    return str(found[(found.claim == claim) & (found.backend == backend)].outcomes.iloc[0])


def finding(name: str, test: str) -> str:
    found = table(f"{name}/findings.csv")
    return f"{found[found.name.str.startswith(test)].figure.iloc[0]:g}"


def calling(cells: pd.DataFrame, call: str) -> pd.DataFrame:
    return cells[cells.call == call]


def not_calling(cells: pd.DataFrame, call: str) -> pd.DataFrame:
    return cells[cells.call != call]


def bare(outcomes: str) -> str:
    """
    >>> bare("hung 30 of 30")
    '30 of 30'
    """
    return outcomes.partition(" ")[2]


def stalled_threads() -> str:
    cells = table("full/cells.csv")
    found = cells[(cells.pool == "threads") & (cells.concurrency == 1) & (cells.environment != "tensorflow2")]
    return f"{(found.outcome == 'stalled').sum()} of {len(found[found.outcome != 'skipped'])}"


def stalled_prefetch() -> str:
    cells = table("grid/cells.csv")
    found = cells[(cells.backend == "tensorflow2") & (cells.pool == "gevent") & (cells.prefetch == 1)]
    return f"{(found.outcome == 'stalled').sum()} of {found.trials.sum()}"


# What a page has to say, word for word: the words around a figure say which of the page's figures it is.


def readme() -> list[str]:
    beyond_one = in_pools("theano", "threads", least=2)
    return [
        *(
            f"| {name} | `prefork`, first task | [{ok_of(in_pools(backend, 'prefork'))} ok]"
            for backend, name in BACKENDS.items()
        ),
        *(f"`predict` [{claimed('C2', backend).replace('hung', 'hung in')} trials]" for backend in TENSORFLOW),
        f"[raised errors in {raised(calling(in_pools('tensorflow2', 'gevent', least=2), 'predict'))}]",
        f"[raised errors in {raised(not_calling(in_pools('tensorflow1_15', 'gevent', 'eventlet'), 'graph-session'))}]",
        f"[{ok_of(beyond_one)} ok](results/full/cells.csv), {(beyond_one.outcome == 'crashed').sum()} of them crashed",
        f"threads are safe: [{ok_of(in_pools('tensorflow2', 'threads'))} ok]",
        f"[{pace('prefork', 'predict_on_batch'):.0f} requests per second, `predict(rows)` {pace('prefork', 'predict'):.0f}]",
        f"[{memory('threads')} MiB instead of {memory('prefork')}]",
        f"answered {pace('threads', 'predict_on_batch'):.0f} requests per second instead of",
    ]


def choose_a_pool() -> list[str]:
    greenlets = in_pools("tensorflow2", "gevent", least=2)
    return [
        f"[{bare(claimed('C2'))} trials]",
        f"[{raised(calling(greenlets, 'predict'))}]",
        f"ok in {ok_of(not_calling(greenlets, 'predict'))}",
        f"[{stalled_threads()} cells]",
        f"[{stalled_prefetch()} trials]",
        f"answered {pace('prefork', 'predict_on_batch', '-convnet-large'):.2f} requests",
        f"and {pace('threads', 'predict_on_batch', '-convnet-large'):.1f} in `threads`",
        f"[{of('tensorflow2-prefork-c2-first-task-predict_on_batch', 'overhead_fraction'):.2f} of what the same pool",
    ]


def my_worker_hangs() -> list[str]:
    return [f"[{bare(claimed('C2'))} trials]"]


def the_famous_answer() -> list[str]:
    return [
        f"`predict` returns | **holds**: {bare(claimed('C1'))}",
        f"never returns | **holds**: {bare(claimed('C2'))} trials hung",
        f"still hang | **holds**: {bare(claimed('C5'))}",
        f"have this problem | **holds**: {bare(claimed('C10'))}",
    ]


def why_a_fork_hangs() -> list[str]:
    old, middle, new = (bare(claimed("C6", backend)) for backend in ("tensorflow1", "tensorflow1_15", "tensorflow2"))
    return [f"{old} on TensorFlow 1.13, {middle} on 1.15 and {new} on 2.21"]


def how_we_advise() -> list[str]:
    told, found = finding("truths-compare", "of 20 pairs"), finding("truths-compare", "of 20 runs")
    return [f"ships how {stored.shipped().trials} trials ended", f"[{told} of 20 told apart wrongly, {found} of 20 found]"]


def how_we_check_ourselves() -> list[str]:
    watching = f"{float(finding('selfcost', 'CPU of watching, share')):.2%}".replace("%", " %")
    return [
        f"[{finding('truths-compare', 'of 20 pairs')} and {finding('truths-compare', 'of 20 runs')}]",
        f"All {len(table('truths-instrument/findings.csv').query('passed'))} figures",
        f"[{float(finding('truths-recommend', 'rows a second')):.2f} rows per second, promised 12.47 to 25.18]",
        f"watching a worker takes {watching}",
        f"our client takes {float(finding('selfcost', 'the client')):.0%} of the CPU".replace("% of", " % of"),
        f"over RPC: [{float(finding('selfcost-amqp', 'the client')):.0%}]".replace("%]", " %]"),
        *_looking(),
    ]


def _looking() -> list[str]:
    """What `selfcost --only why` found: its counts stand in the names and notes."""
    found = table("selfcost-why/findings.csv").set_index("name")
    (signals,) = [name for name in found.index if name.startswith("signals handled")]
    (cpu,) = [note for name, note in found.note.items() if name.startswith("CPU of a request")]
    (right,) = [note for name, note in found.note.items() if name.startswith("wrong answers")]
    low, high = re.search(r"\((\S+) - (\S+) at", cpu).groups()
    assert not any(found.figure[name] for name in found.index if "after" in name or name.startswith("threads"))
    return [
        signals.replace("signals handled after", "After"), f"All {right.split()[0]} answers were right",
        f"{low} to {high} of that without",
        f"{found.figure['our own CPU for one answer about three processes']:.1f} s of our own CPU time",
    ]  # fmt: skip


SAID: dict[str, Callable[[], list[str]]] = {
    "README.md": readme,
    "docs/how-to/choose-a-pool.md": choose_a_pool,
    "docs/how-to/my-worker-hangs.md": my_worker_hangs,
    "docs/explanation/the-famous-answer.md": the_famous_answer,
    "docs/explanation/why-a-fork-hangs.md": why_a_fork_hangs,
    "docs/explanation/how-we-advise.md": how_we_advise,
    "docs/explanation/how-we-check-ourselves.md": how_we_check_ourselves,
}


@pytest.mark.parametrize("page", SAID)
def test_what_a_page_says_is_what_was_measured(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [words for words in SAID[page]() if words not in text] == []


def test_the_counts_by_pool_are_those_of_the_atlas() -> None:
    counts: defaultdict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for entry in stored.shipped().entries:
        cell = entry.cell
        if cell.placement == "first-task" and cell.parent == "nothing" and not cell.max_tasks and not cell.start_window_s:
            for outcome, trials in entry.outcomes.items():
                counts[cell.backend, cell.pool][outcome.value == "ok"] += trials
    expected = [[name, *(_counted(counts[backend, pool]) for pool in POOLS)] for backend, name in BACKENDS.items()]
    assert rows(CHOOSE, f"| Keras on | {' | '.join(f'`{pool}`' for pool in POOLS)} |") == expected


def _counted(found: Counter[bool]) -> str:
    return f"{found[True]} of {found.total()}" if found else "not there"


def test_the_paces_by_call_are_those_of_the_reference_run() -> None:
    pools = POOLS[:-1]
    calls = {
        "model.predict(rows)": "predict",
        "model(rows, training=False)": "direct",
        "model.predict_on_batch(rows)": "predict_on_batch",
    }
    paces = [[f"`{code}`", *(f"{pace(pool, call):.1f}" for pool in pools)] for code, call in calls.items()]
    expected = [*paces, ["*memory of the whole worker, MiB*", *(memory(pool) for pool in pools)]]
    assert rows(CHOOSE, f"| call | {' | '.join(f'`{pool}`' for pool in pools)} |") == expected


STUCK_ROWS = {
    "hard limit, in Python": "hard-limit-python", "hard limit, in native code": "hard-limit-native",
    "soft limit, in Python": "soft-limit-python", "soft limit, in native code": "soft-limit-native",
    "revoke with SIGTERM, in native code": "revoke-native", "revoke with SIGKILL, in native code": "revoke-kill",
}  # fmt: skip
ALIVE_ROWS = {"sleeps": "ping-sleep", "computes": "ping-spin", "holds the GIL in C": "ping-gil"}
BROKER_ROWS = {
    "closes its connections; the worker is idle": "idle-blip", "closes its connections": "blip",
    "closes its connections; acks late": "blip-late", "is killed and restarted; idle": "idle-restart-kept",
    "is killed and restarted": "restart-kept", "is killed and restarted; acks late": "restart-kept-late",
    "is silent for a minute": "partition", "is silent for a minute; acks late": "partition-late",
    "is behind a network that forgets; idle": "idle-half-open", "the same, with socket timeouts": "idle-half-open-limit",
}  # fmt: skip
WORDS = {
    "cut off": "cut off", "ended": "ended", "n/a": "no such thing", "answered, still stuck": "**still stuck**",
    "not cut off": "**not**", "not ended": "**not**", "not implemented": "**not**",
    "answered": "answered", "silent": "**silent**",
    "consumes again": "again", "consumes again, repeats requests": "again, **twice**",
    "consumes again, leaves requests behind": "again, **left**", "consumes again, loses requests": "again, **lost**",
    "does not consume again": "**never**",
}  # fmt: skip


@pytest.mark.parametrize(
    ("first", "meant"),
    [("", STUCK_ROWS), ("while the only executor", ALIVE_ROWS), ("the broker", BROKER_ROWS)],
    ids=["stuck", "alive", "broker"],
)
def test_what_a_stuck_pool_does_is_what_the_contracts_found(first: str, meant: dict[str, str]) -> None:
    found = table("contracts/contracts.csv").query("backend == 'tensorflow2'").set_index(["contract", "pool"]).verdict
    expected = [[said, *(WORDS[found[contract, pool]] for pool in POOLS)] for said, contract in meant.items()]
    head = f"| {first} | {' | '.join(f'`{pool}`' for pool in POOLS)} |".replace("|  |", "| |")
    shown = [[cell.replace("pings answered", "answered") for cell in row] for row in rows(STUCK, head)]
    assert shown == expected


def test_a_worker_is_as_long_without_its_broker_as_the_page_says() -> None:
    found = table("contracts/contracts.csv").set_index("contract")
    idle = found.loc[["idle-blip", "idle-restart-kept", "idle-restart-lost"]].query("verdict != 'n/a'")
    assert set(idle.verdict) == {"consumes again"}
    assert idle.seconds.max() <= 1.3
    limited = found.loc["idle-half-open-limit"]
    new, old = limited.query("backend == 'tensorflow2'"), limited.query("backend == 'tensorflow1'").set_index("pool")
    assert (new.seconds.min() >= 26, new.seconds.max() <= 52, len(new)) == (True, True, len(POOLS))
    assert set(old.index[old.verdict == "does not consume again"]) == {"threads", "solo"}
    assert all("lost" in detail for detail in limited.query("verdict != 'n/a'").detail)
    assert set(found.loc["idle-half-open"].verdict) == {"does not consume again", "n/a"}
    said = STUCK.read_text()
    assert all(words in said for words in ("in 1.3 s or less", "after 26 to 52 s", "`threads` and `solo` still do not"))


def test_prefork_alone_leaves_what_it_prefetched_behind_a_restart() -> None:
    found = table("contracts/contracts.csv").query("contract in ('restart-kept', 'restart-kept-late') and verdict != 'n/a'")
    left = found[[re.search(r"prefetched: (\d+) of \1 left unacknowledged", detail) is not None for detail in found.detail]]
    assert set(left.pool) == {"prefork", "prefork-spawn"}
    assert len(left) == found.pool.str.startswith("prefork").sum()


def test_the_search_is_as_near_to_the_best_as_the_page_says() -> None:
    found = table("truths-tune/findings.csv")
    assert found[found.name.str.contains("reached")].figure.min() >= 0.987
    assert found[found.name.str.contains("share of the grid")].figure.max() < 0.15
    assert "98.7 % or more" in (DOCS / "explanation/how-we-advise.md").read_text()


def test_the_readme_has_of_other_engines_what_the_atlas_has() -> None:
    def counted(backends: Sequence[str], placement: str) -> tuple[int, int]:
        """(trials that failed, all that were judged), in prefork, if the main process does nothing beside."""
        found = [
            one
            for one in stored.shipped().entries
            if one.cell.backend in backends
            and (one.cell.pool, one.cell.placement, one.cell.parent) == ("prefork", placement, "nothing")
        ]
        return sum(one.judged - one.ok for one in found), sum(one.judged for one in found)

    every = ("torch", "keras_torch", "jax", "openvino", "onnxruntime", "sklearn", "lightgbm", "xgboost")
    text = " ".join(README.read_text().split())
    assert "hang if loaded at import ({} of {} trials)".format(*counted(("lightgbm", "xgboost", "jax"), "import")) in text
    assert "none of eight engines failed ({} of {})".format(*counted(every, "first-task")) in text


def test_as_many_kills_left_no_fault_as_the_page_says() -> None:
    rounds = json.loads((RESULTS / "killed/killed.json").read_text())
    good = sum(not one["faults"] for one in rounds)
    assert f"{good} of {len(rounds)} kills left no fault" in (DOCS / "explanation/how-we-check-ourselves.md").read_text()


def test_the_matrix_has_as_many_trials_as_the_page_says_and_none_misjudged() -> None:
    matrix = (RESULTS / "selftest/matrix.md").read_text()
    assert "misjudged: 0" in matrix
    page = (DOCS / "explanation/how-we-check-ourselves.md").read_text()
    counts = table("selftest/matrix.csv")
    for told, shown in (("median: 1.8 s", "1.8 s in the median"), ("maximum: 11.3 s", "One of 261 took 11.3 s")):
        assert f"from deadlock to verdict, {told}" in matrix
        assert shown in page
    assert "only `waiting`: 0.0898876" in matrix
    assert "9 % are only called `waiting`" in page
    assert f"{counts.trials.sum()} trials" in page
    assert f"each of the {counts.fault.nunique() - 1} faults" in page
    assert f"{counts.trials.sum()} trials" in (RESULTS / "README.md").read_text()


def test_readme_names_the_engines_that_were_measured() -> None:
    assert [name for name in BACKENDS.values() if name not in README.read_text()] == []
