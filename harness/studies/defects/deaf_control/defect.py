"""The connection for remote control is deaf: kombu sends a PING on it, and does not look for the answer (kombu#2590)."""

from __future__ import annotations

from harness.machine import processes
from harness.studies.defects import silent_end
from harness.studies.defects.bench import DONE, Bench
from harness.studies.defects.defect import Defect, Expected

CHECKED_S = 60.0  # two of kombu's health checks (health_check_interval, 25 s) have had their time by then
ASK_S, ASK_LIMIT_S = 5, 60.0


def answers(bench: Bench) -> bool:
    """Whether `celery inspect ping` hears of the worker."""
    argv = [str(bench.python), "-m", "celery", "-A", "app", "inspect", "ping", "--timeout", str(ASK_S)]
    return processes.run(argv, env=bench.environment(), limit_s=ASK_LIMIT_S, cwd=bench.app).returncode == 0


def provoke(bench: Bench) -> str:
    """Deafen every connection on which the worker has subscribed to something; ask it twice."""
    bench.start()
    assert bench.broker is not None
    client = bench.client()
    if not answers(bench):
        return ""
    for row in [one for one in client.client_list() if "P" in one["flags"]]:
        port, drop = int(row["addr"].rpartition(":")[2]), lambda row=row: client.client_kill_filter(_id=row["id"], skipme=True)
        bench.kept.enter_context(silent_end.deafen(bench.broker.pid, port, drop))
    bench.wait(lambda: not bench.alive(), CHECKED_S)
    if not bench.alive() or answers(bench):
        return ""
    before = bench.count(DONE)
    bench.send(("app.note", ["later"]))
    if not bench.wait(lambda: bench.count(DONE) > before, 10) or answers(bench):
        return ""
    return f"`celery inspect ping` is not answered within {ASK_S} s, twice, {CHECKED_S:g} s after; a task was run meanwhile"


DEFECT = Defect(
    name="deaf-control",
    source="celery#10502, kombu#2590",
    reported="inspect is silent; the connection for remote control is dead, and the health check does not see it",
    differs="Valkey instead of ElastiCache, no TLS; the connections are made deaf by hand",
    provoke=provoke,
    expected=Expected(
        states=frozenset({"works"}),
        causes=frozenset({"control-plane-dead"}),
        words=("kombu 5.6.2 has a bug that does this (celery#10502", "restart it if you need inspect and control"),
    ),
)
