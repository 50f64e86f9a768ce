"""Every backend in every pool, about a quarter of an hour a commit: asv run --bench full. The figures are those of `quick`."""

from . import quick as _quick
from .cells import RUN_LIMIT_S, labels, measured


def setup_cache():
    return measured("full")


setup_cache.timeout = RUN_LIMIT_S


class _Suite:
    params = (labels("full"),)


class Throughput(_Suite, _quick.Throughput):
    pass


class Latency(_Suite, _quick.Latency):
    pass


class Cost(_Suite, _quick.Cost):
    pass


class Start(_Suite, _quick.Start):
    pass


class Outcome(_Suite, _quick.Outcome):
    pass
