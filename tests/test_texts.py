"""Texts of others: what is kept of them names no folder of this machine, however long they are."""

from __future__ import annotations

import pytest

from harness.texts import portable, without_secrets


def test_an_interpreters_own_folder_is_named_wherever_a_word_begins() -> None:
    own = ".pyenv/versions"
    found = portable(f"/z/{own}/3.8.1/bin/python \"/x/{own}/3/lib\" ('/y/{own}/3/a')")
    assert found == "PYTHON/bin/python \"PYTHON/lib\" ('PYTHON/a')"


def test_a_word_of_millions_of_characters_is_read_once() -> None:
    word = "x" * 5_000_000  # read from each of its characters, it would take hours
    assert portable(word) == word


@pytest.mark.parametrize(
    "secret",
    [
        "AKIA" + "IOSFODNN7EXAMPLE", "ghp_" + "a1" * 18, "xoxb-" + "1234567890-abc", "sk_live_" + "4eC39HqLyjWD",
        "AIza" + "S1" * 17 + "x",
        "eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_form(secret: str) -> None:
    assert without_secrets(f"said '{secret}', and went on") == "said '***', and went on"


@pytest.mark.parametrize(
    "text",
    ["Bearer of bad news", "Basic authentication is off", "a Bearer token", "sk_live_", "risk_test_of_something", "eyJ.eyJ"],
)
def test_innocent_words_stay(text: str) -> None:
    assert without_secrets(text) == text
