"""Whether a function that keeps its answers (`functools.lru_cache`) has forgotten one, as `cache_clear` makes it.

A child that hears of the fork may do so. Python 3.7, standard library only.
"""

from harness.worker import reached

NOTHING = object()


def dropped(keeper, path, value):
    """Whether none of its answers leads to this value by these attributes (`.inbox`) any more; False if that cannot be told."""
    if type(keeper) is not reached.CACHING or "()" in path:
        return False
    led = [_led(each, path) for each in reached.cached(keeper)]
    if any(each is value for each in led):
        return False
    return not keeper.cache_info().currsize or any(each is not NOTHING for each in led)


def _led(value, path):
    for name in filter(None, path.split(".")):
        value = reached.attributes(value).get(name, NOTHING)
    return value
