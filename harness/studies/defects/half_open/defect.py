"""The broker has forgotten the connection on which the worker waits for work; nobody told the worker (celery#2906, #10502)."""

from __future__ import annotations

from harness.studies.defects import silent_end
from harness.studies.defects.bench import Bench, nothing_runs
from harness.studies.defects.defect import Defect, Expected

SILENT_S = 60.0  # two of kombu's health checks (health_check_interval, 25 s) have had their time by then


def provoke(bench: Bench) -> str:
    """Let the server drop the connection that waits in BRPOP, and no packet say so."""
    bench.start()
    assert bench.broker is not None
    client = bench.client()

    def asking() -> list[dict[str, str]]:
        return [one for one in client.client_list() if one["cmd"] == "brpop" and "b" in one["flags"]]

    bench.wait(asking, 10)
    row = asking()[0]
    port = int(row["addr"].rpartition(":")[2])
    silent_end.forget(bench.broker.pid, port, lambda: client.client_kill_filter(_id=row["id"], skipme=True))
    if symptom := nothing_runs(bench, SILENT_S, [("app.note", ["later"])] * 3):
        return f"the server has no connection to port {port} any more; {symptom}"
    return ""


DEFECT = Defect(
    name="half-open",
    source="celery#10502, kombu#2590 (also celery#2906)",
    reported="a worker behind a firewall consumes nothing any more; its connection is there, and the server does not know it",
    differs="Valkey instead of ElastiCache, no TLS; one connection is made half-open by hand",
    provoke=provoke,
    expected=Expected(
        states=frozenset({"stuck"}),
        causes=frozenset({"half-open"}),
        words=("kombu 5.6.2 has a bug that does this (celery#10502", "restart the worker"),
    ),
)
