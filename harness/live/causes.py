"""The findings about a worker's machinery, its broker and its consumer, the worst first."""

from __future__ import annotations

from harness.live import backlog, consumer, machinery
from harness.live.facts import Facts
from harness.live.finding import Finding, ordered
from harness.live.join import asks
from harness.texts import few


def found(facts: Facts) -> tuple[Finding, ...]:
    if not facts.moments:
        return ()
    told = [decide(facts) for decide in (*consumer.ALL[:1], *machinery.ALL, *consumer.ALL[1:], *backlog.ALL)]
    explained = any(one is not None and one.cause == "poison-unacked" for one in told)
    return ordered(one for one in told if not (explained and one is not None and one.cause == "consumer-lost"))


def doubtful(facts: Facts) -> bool:
    """Whether one moment shows something that has to be looked at for longer."""
    return bool(found(facts)) or backlog.may_be_behind(facts)


def hidden(facts: Facts, url: str) -> tuple[str, ...]:
    """What could not be seen of the broker, and so is in no finding."""
    if not url and facts.apart:
        return ("what the broker holds: no URL is known that leads to it from this network; --broker tells one",)
    if not url:
        return ("what the broker holds: the application alone knows its URL; --broker tells it",)
    if not facts.brokers:
        apart = "what the broker holds: the worker reaches it from a network of its own, and we do not from here"
        return (apart,) if facts.apart else ()
    found, last = [], facts.brokers[-1]
    if asks(facts) is None:
        found.append("which of the broker's connections are the worker's: something stands between the two, or there are none")
    if last.prefixed:
        told = few([f"'{one}'" for one in last.prefixes])
        found.append(
            f"what waits for it: under which prefix its queues lie ({told}; global_keyprefix) cannot be told from here"
        )
    elif not last.whole:
        found.append("queues that are not among the first keys of a large database")
    return tuple(found)
