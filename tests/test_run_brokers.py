"""Which broker serves a cell of a run: the user's own, an embedded one, or none, and then why."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.broker import rabbitmq
from harness.errors import BadInput
from harness.experiment import brokers as known
from harness.experiment import experiment, matrix
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.run import brokers
from harness.run.plan import Planned

AMQP, REDIS = "amqp://me:secret@mq//", "redis://r"


def asked(broker: Sequence[str] | None = None, results: Sequence[str] | None = None) -> Experiment:
    block = {"backend": ["theano"], "pool": ["prefork"], **({"broker": broker} if broker else {})}
    block |= {"result_backend": results} if results else {}
    data = {"name": "mine", "summary": "s", "cells": [block]}
    return experiment.checked(data, "mine.toml", backends=["theano"], workloads=["digits-cnn"])


def test_the_id_names_a_broker_and_a_result_back_end_only_if_they_are_not_the_default() -> None:
    cells = asked(list(known.BROKERS), ["", "redis", "rpc"]).expand()
    plain = "theano-prefork-c1-first-task-predict"
    ids = [cell.id.removeprefix(plain) for cell in cells]
    assert ids == [
        "", "-results-rpc", "-redis", "-redis-results-rpc", "-rabbitmq", "-rabbitmq-results-redis", "-rabbitmq-quorum",
        "-rabbitmq-quorum-results-redis",
    ]  # fmt: skip
    assert [bool({"broker", "result_backend"} & set(cell.as_dict())) for cell in cells] == [False, *[True] * 7]
    assert {cell.baseline().id for cell in cells} == {cells[0].baseline().id}
    assert {cell.null_control().broker for cell in cells} == set(known.BROKERS)


@pytest.mark.parametrize(
    ("broker", "results", "celery", "reason"),
    [
        ("valkey", "rpc", (5, 7), "read from RabbitMQ alone"),
        ("redis", "rpc", (5, 7), "read from RabbitMQ alone"),
        ("rabbitmq-quorum", "", (5, 2), "5.5 and later do not"),
        ("rabbitmq-quorum", "redis", (5, 5), ""),
        ("rabbitmq", "", (5, 2), ""),
    ],
)
def test_what_cannot_be_is_said(broker: str, results: str, celery: tuple[int, int], reason: str) -> None:
    cell = Cell(backend="theano", pool="prefork", broker=broker, result_backend=results)
    found = matrix.impossible(cell, calls=("predict",), celery=celery, compile_cache=True) or ""
    assert (reason in found) if reason else not found


@pytest.mark.parametrize(
    ("broker", "urls", "first", "others"),
    [
        (None, [], "", {}),
        (None, [REDIS], REDIS, {}),
        (None, [AMQP], "", {"rabbitmq": AMQP}),
        (["valkey", "rabbitmq"], [REDIS], REDIS, {}),
        (["valkey", "redis"], [REDIS], "", {"redis": REDIS}),
        (["valkey", "rabbitmq", "rabbitmq-quorum"], [AMQP], "", {"rabbitmq": AMQP, "rabbitmq-quorum": AMQP}),
        (["valkey", "redis", "rabbitmq"], [AMQP, REDIS], "", {"redis": REDIS, "rabbitmq": AMQP}),
    ],
)
def test_a_server_of_the_users_own_serves_the_cells_of_its_kind(
    broker: list[str] | None, urls: list[str], first: str, others: dict[str, str]
) -> None:
    kinds = brokers.kinds(urls)
    cells = brokers.named(asked(broker), kinds).expand()
    assert (brokers.first(cells, kinds), brokers.of(cells, kinds)) == (first, others)


@pytest.mark.parametrize(("urls", "words"), [(["sqs://a"], "--broker sqs://a"), ([AMQP, "amqp://other"], "two of one kind")])
def test_a_broker_that_cannot_be_measured_on_is_refused_without_its_password(urls: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        brokers.kinds(urls)
    assert "secret" not in str(caught.value)


def test_a_cell_whose_broker_is_not_here_is_skipped_and_is_another_trial_once_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    item = Planned(cell=Cell(backend="theano", pool="solo", broker="rabbitmq"), trial=1, key="k")
    monkeypatch.setattr(rabbitmq, "program", lambda: None)
    missing, own = brokers.placed(item, {}), brokers.placed(item, {"rabbitmq": AMQP})
    assert "no rabbitmq-server is installed here; --broker amqp://" in missing.skip
    assert not own.skip
    monkeypatch.setattr(rabbitmq, "lacking", lambda: "")
    assert brokers.placed(item, {}) == item
    assert len({missing.key, own.key, item.key}) == 3
    plain = Planned(cell=Cell(backend="theano", pool="solo"), trial=1, key="k")
    assert brokers.placed(plain, {"rabbitmq": AMQP}) == plain
