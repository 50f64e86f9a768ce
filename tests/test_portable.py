"""Evidence names no folder of the machine it was taken on."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from harness import cli, places, texts
from harness.errors import BadInput
from harness.texts import CHECKOUT, portable, without_secrets


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"File {places.home()}/theano-1/lib/x.py", "File ENVIRONMENTS/theano-1/lib/x.py"),
        (f"({CHECKOUT}/harness/cli.py:7)", "(CHECKOUT/harness/cli.py:7)"),
        (f'"{Path.home()}/model.h5"', '"~/model.h5"'),
        (f"Python v3 ({Path.home()}/.pyenv/versions/9.9.9/bin/python)", "Python v3 (PYTHON/bin/python)"),
        (f"{CHECKOUT}-other/x", f"{CHECKOUT}-other/x".replace(f"{Path.home()}/", "~/")),
        ("futex_wait (libc.so.6)", "futex_wait (libc.so.6)"),
    ],
)
def test_folders_of_the_machine_are_named_by_what_they_are(text: str, kept: str) -> None:
    assert portable(text) == kept


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that an application's variables hold."""
    monkeypatch.setattr(texts, "_hidden", set())
    texts.hide({
        "SHOP_DB_PASSWORD": "correct horse", "STRIPE_API_KEY": "sk_live_77", "AWS_SECRET_ACCESS_KEY": "wJalrX/7MD",
        "SHOP_KEYS": "4242424", "TOKEN": "abc", "SHOP_REGION": "eu-central",
    })  # fmt: skip


def test_secrets_of_the_applications_variables_and_of_urls_stand_in_no_evidence(secrets: None) -> None:
    said = portable(
        "OperationalError: FATAL: password 'correct horse' for postgres://shop:hunter2@db.prod:5432/shop?sslpassword=x&a=1 "
        "(sk_live_77, wJalrX/7MD) in eu-central, 4242424, abc"
    )
    assert said == (
        "OperationalError: FATAL: password '***' for postgres://***@db.prod:5432/shop?sslpassword=***&a=1 "
        "(***, ***) in eu-central, 4242424, abc"  # what is no secret by its name, or too short to tell, stays
    )


@pytest.mark.parametrize("secret", ['it\'s "x"\\9', "naïve-pass", "p@ss/w?rd&1", "tab\there", 'one"two', "a\\b'cde"])
def test_a_secret_is_hidden_however_it_is_written(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an exception's text, a dictionary in a log, JSON, or a URL has it, also one inside the other."""
    monkeypatch.setattr(texts, "_hidden", set())
    texts.hide({"DB_PASSWORD": secret})
    told = {"a": secret}
    ways = (
        secret, repr(secret), str(told), json.dumps(told), json.dumps(told, ensure_ascii=False), ascii(secret), quote(secret),
        repr(ValueError(f"bad {secret!r}")), json.dumps({"error": repr(secret)}), repr(secret.encode()), quote(secret, safe=""),
        f"x='{secret}'", repr(f"x='{secret}'"), repr(f'x="{secret}"'), quote_plus(secret),
    )  # fmt: skip
    for way in ways:
        said = without_secrets(way)
        assert "***" in said, way
        assert len(said) <= len(way) - len(secret) + 3, way


def test_each_line_of_a_secret_that_has_several_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_hidden", set())
    texts.hide({"SIGNING_PRIVATE_KEY": "MIIEowIBAAKCAQEA7\nbm90IGEgc2VjcmV0\nend\n"})
    assert without_secrets("read MIIEowIBAAKCAQEA7\n  bm90IGEgc2VjcmV0\nthe end") == "read ***\n  ***\nthe end"
    assert without_secrets(r"key='MIIEowIBAAKCAQEA7\nbm90IGEgc2VjcmV0\nend\n'") == "key='***'"


def test_an_error_on_the_terminal_shows_no_secret(secrets: None, capsys: pytest.CaptureFixture[str]) -> None:
    cli.complain(BadInput("the application failed: no access for amqp://me:hunter2@mq with sk_live_77", remedy="see its log"))
    told = capsys.readouterr().err
    assert "amqp://***@mq with ***" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("start", ["", "?", "a://"])
def test_a_long_word_is_searched_for_secrets_once(start: str) -> None:
    word = start + "k" * 2_000_000  # read from each of its characters, it would take hours
    assert texts.without_secrets(word) == word
