"""The message of our own task is made once by Celery, and kept for whatever queue comes next."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.client import own_message
from harness.worker import contract


def never() -> str:
    raise AssertionError("it is kept")


def test_it_is_made_once_and_read_for_any_queue(tmp_path: Path) -> None:
    path = tmp_path / "messages" / "redis.json"
    made = f"to {own_message.QUEUE}"
    assert own_message.kept(str(path), "one", lambda: made) == "to one"
    assert own_message.kept(str(path), "two", never) == "to two"
    assert [file.name for file in path.parent.iterdir()] == ["redis.json"]


@pytest.mark.parametrize("path", ["", "/proc/nowhere/redis.json"])
def test_where_nothing_can_be_kept_it_is_made_each_time(path: str) -> None:
    assert [own_message.kept(path, name, lambda: own_message.QUEUE) for name in ("one", "two")] == ["one", "two"]


def test_each_kind_of_broker_has_a_file_of_its_own_and_no_password_is_in_its_name(tmp_path: Path) -> None:
    redis, amqp = (own_message.place(tmp_path, f"{kind}://:secret@here:1/0") for kind in ("redis", "amqp"))
    assert redis != amqp
    assert redis == own_message.place(tmp_path, "redis://elsewhere:2/1")
    assert (redis.parent, "secret" in redis.name) == (tmp_path / "messages", False)


def test_what_differs_by_request_is_filled_in() -> None:
    template = f"{contract.PLACEHOLDER} ('{own_message.MARK}',) {own_message.BODY}"
    assert own_message.filled(template, "id-7", 7, 3).startswith("id-7 (7, 3,) W1s3LCAzXSwg")
