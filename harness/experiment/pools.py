"""The pools: what each is called on Celery's command line, and what it forbids. One entry a pool."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_CELERY_WITH_SPAWN = (5, 7)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """`executors` says what runs requests: 'processes', 'threads', 'greenlets' or 'main' (the worker's own thread).
    `module`: Celery's, whose TaskPool it is.
    """

    name: str
    arguments: tuple[str, ...]
    executors: str
    module: str
    child_signal: bool  # worker_process_init fires (Celery source: only prefork's children, and solo itself)
    needs_celery: tuple[int, int] = (4, 0)
    spawned: bool = False

    def command(self, concurrency: int) -> list[str]:
        """Arguments of `celery worker` for this pool."""
        return [*self.arguments, "--concurrency", str(concurrency)]

    def differs(self, *, implementation: str, spawned: bool, limit: int | None, concurrency: int) -> str:
        """What pool a worker has instead of this one, as it says itself; '' where it has this one."""
        if implementation != f"celery.concurrency.{self.module}:TaskPool":
            return f"the pool {implementation}"
        if self.executors == "processes" and spawned != self.spawned:
            return f"children that are {'spawned' if spawned else 'forked'}"
        return f"a concurrency of {limit}" if self.executors != "main" and limit not in (None, concurrency) else ""

    def refuses(self, *, concurrency: int, placement: str, celery: tuple[int, int]) -> str | None:
        """Why such a cell cannot exist, or None."""
        if celery < self.needs_celery:
            needed, have = ".".join(map(str, self.needs_celery)), ".".join(map(str, celery))
            return f"Celery {have} has no such pool; it came with {needed}"
        if self.executors == "main" and concurrency != 1:
            return "solo runs one task at a time"
        if placement == "process-init" and not self.child_signal:
            return f"worker_process_init never fires in {self.name}: nothing would load the model"
        if placement == "each-thread" and self.executors in ("processes", "main"):
            return f"{self.name} runs all tasks of a process in one thread: each-thread is first-task there"
        return None


POOLS = {
    pool.name: pool
    for pool in (
        Pool(name="prefork", arguments=("--pool", "prefork"), executors="processes", module="prefork", child_signal=True),
        Pool(
            name="prefork-spawn",
            arguments=("--pool", "prefork", "--pool-start-method", "spawn"),
            executors="processes",
            module="prefork",
            spawned=True,
            child_signal=True,
            needs_celery=FIRST_CELERY_WITH_SPAWN,
        ),
        Pool(name="threads", arguments=("--pool", "threads"), executors="threads", module="thread", child_signal=False),
        Pool(name="gevent", arguments=("--pool", "gevent"), executors="greenlets", module="gevent", child_signal=False),
        Pool(name="eventlet", arguments=("--pool", "eventlet"), executors="greenlets", module="eventlet", child_signal=False),
        Pool(name="solo", arguments=("--pool", "solo"), executors="main", module="solo", child_signal=True),
    )
}

IN_PROCESS = "in-process"  # the baseline: no Celery at all
