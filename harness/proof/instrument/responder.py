"""A server of our own making: it speaks a Celery worker's wire, and takes exactly as long as it is told.

Run as `python -m harness.proof.instrument.responder SPEC.json` (keys: url, queue, service_s, servers). It pops requests from
the queue, and stores and publishes each result with the very commands of Celery's Redis result backend. With no service time it
answers at once, in batches: then the client is what limits. With another one it is a queue with `servers` servers whose
truth is known: a request begins when it has come and a server is free, and is answered that long after, whatever this
process had to do meanwhile; the last part of a wait is spun, so that answers are some 10 microseconds late at the most.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

from harness.client.wire import Channel, command
from harness.worker import contract

BATCH = 64
HELD = 64  # requests at most that it has taken and not answered; the others wait in the broker, as with a real worker
SPIN_NS = 200_000
EXPIRES_S = b"600"
ANSWER = [0.0] * 10
PREFIX = "celery-task-meta-"


class Responder:
    """The queue's servers. `due` holds what is in service or waits for it: (end, task id, begin), in order of the ends."""

    def __init__(self, url: str, queue: str, service_s: float, servers: int) -> None:
        self.service_ns = int(service_s * 1e9)
        self.free = [0] * servers
        self.asked = False
        self.due: deque[tuple[int, str, int]] = deque()
        self.requests, self.results = Channel(url), Channel(url)
        self.ask = command(b"RPOP", queue.encode(), b"%d" % BATCH) + command(b"BRPOP", queue.encode(), b"0")
        self.identity = {contract.PID: os.getpid(), contract.TID: os.getpid()}

    def run(self) -> None:
        """For ever."""
        self._ask()
        sockets = [self.requests.socket, self.results.socket]
        while True:
            left_ns = self.due[0][0] - time.monotonic_ns() if self.due else None
            if left_ns is not None and left_ns <= SPIN_NS:
                self._answer()
                continue
            ready, _, _ = select.select(sockets, [], [], None if left_ns is None else (left_ns - SPIN_NS) / 1e9)
            if self.requests.socket in ready:
                self._take()
            if self.results.socket in ready:
                self.results.read()  # confirmations

    def _ask(self) -> None:
        self.requests.send(self.ask)
        self.asked = True

    def _take(self) -> None:
        """Whatever has come; a reply of one pair (queue, message) is the blocking pop's, and the last."""
        for reply in self.requests.read():
            now = time.monotonic_ns()
            messages = cast("list[bytes]", reply or [])
            blocking = len(messages) == 2 and not messages[0].startswith(b"{")
            for message in messages[1:] if blocking else messages:
                self._begin(json.loads(message)["headers"]["id"], now)
            if blocking:
                self.asked = False
        if not self.asked and len(self.due) < HELD:
            self._ask()

    def _begin(self, task_id: str, now: int) -> None:
        begin = max(now, heapq.heappop(self.free))
        heapq.heappush(self.free, begin + self.service_ns)
        self.due.append((begin + self.service_ns, task_id, begin))

    def _answer(self) -> None:
        """Wait out the first, and answer all whose time has come."""
        while time.monotonic_ns() < self.due[0][0]:
            pass
        now, commands = time.monotonic_ns(), list[bytes]()
        while self.due and self.due[0][0] <= now and len(commands) < BATCH:
            end, task_id, begin = self.due.popleft()
            commands.append(self._result(task_id, begin, end))
        self.results.send(b"".join(commands))
        if not self.asked and len(self.due) < HELD:
            self._ask()

    def _result(self, task_id: str, begin: int, end: int) -> bytes:
        """The commands of Celery's RedisBackend.set: one transaction that stores the result and publishes it."""
        result = {contract.ANSWER: ANSWER, contract.STAMPS: [begin, begin, end], **self.identity}
        value = json.dumps(
            {"status": "SUCCESS", "result": result, "traceback": None, "children": [], "date_done": None, "task_id": task_id}
        ).encode()
        key = f"{PREFIX}{task_id}".encode()
        stored = command(b"SETEX", key, EXPIRES_S, value) + command(b"PUBLISH", key, value)
        return command(b"MULTI") + stored + command(b"EXEC")


if __name__ == "__main__":
    Responder(**json.loads(Path(sys.argv[1]).read_text())).run()
