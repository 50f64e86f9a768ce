"""What a trial shows of faults that leave every answer in place: facts for `measure.silent`, a section of the record."""

from __future__ import annotations

from harness.records.sections import Frozen, Words


class Silent(Frozen):
    """Found in the measured phase, but for what is said otherwise. Shares are 0..1; what was not looked for has its default."""

    processes: int = 0  # that ran requests,
    executors: int = 0  # and threads that did
    pinned_core: int | None = None  # the one core to which most of what computed was pinned,
    pinned_share: float = 0.0  # and the share of the CPU time of executors and engine threads that was
    busy_executors: int = 0  # threads that ran requests, and used or wanted 5 % of a core or more;
    busy_engine: int = 0  # likewise, further threads of the same processes
    engine_core: int | None = None  # the one core to which these further threads are pinned, of more than one process
    engine_share: float = 0.0  # of the CPU time of these processes, without their main threads unless they ran requests
    alone_share: float | None = None  # the same of the in-process baseline; None if it told nothing
    left_behind: tuple[Words, ...] = ()  # native threads of the main process that no child had at READY, by name
    serial: Words = ""  # what a library said when it went on with one job, of the worker's log
    end: str = ""  # the signal of a crash by which the worker ended once all was answered; '' if it ended well, or was killed
    equal_errors: int = 0  # processes whose answers, one after the other, were off by the same varying amounts; 0: none
