"""`python -m harness.client PLAN.json`: connect, wait until a file `go` appears beside the plan, carry it out, leave the log.

The process leaves an event as each phase begins, stops early at SIGTERM, and writes every request's moments and answer to
the plan's `result` (.npz, see `contract.REQUEST_FIELDS`), and `sending.json` beside the plan.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from harness.client import opaque
from harness.client.generator import Generator
from harness.client.log import table
from harness.client.plan import EXIT_BROKER_LOST, GO, SENDING, Plan
from harness.client.wire import AnyWire, Wire
from harness.worker import heartbeat


def wire_of(plan: Plan, messages: Sequence[str]) -> AnyWire:
    """By the kind of the broker. Every trial starts a client, and few speak AMQP: its library is imported where it is used."""
    if plan.url.startswith("amqp://"):
        from harness.client.amqp_wire import AmqpWire

        return AmqpWire(plan.url, plan.queue, plan.prefix, messages, plan.results, plan.results_prefix, plan.queues, plan.kept)
    return Wire(plan.url, plan.queue, plan.prefix, messages, plan.results_prefix, plan.queues, plan.kept)


def main(path: Path) -> int:
    plan = Plan(**json.loads(path.read_text()))
    heartbeat.open_in(plan.events_dir)
    messages = json.loads(Path(plan.messages).read_text()) if plan.messages else ()
    generator = Generator(plan, wire_of(plan, messages))
    flow = generator.flow
    signal.signal(signal.SIGTERM, lambda *_: flow.stopped.set())
    while not path.with_name(GO).exists() and not flow.stopped.is_set():
        time.sleep(0.005)
    code = 0
    try:
        generator.run()
    except flow.wire.lost as error:
        print(f"broker lost: {error}", flush=True)
        code = EXIT_BROKER_LOST
    path.with_name(SENDING).write_text(json.dumps(asdict(generator.notes())))
    np.savez(plan.result, **(opaque.table(flow.log, Path(plan.result)) if messages else table(flow.log)))
    if code == 0:
        flow.wire.close()
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
