"""Texts of others: what is kept of them names no folder of this machine, however long they are."""

from __future__ import annotations

from harness.texts import portable


def test_an_interpreters_own_folder_is_named_wherever_a_word_begins() -> None:
    found = portable("/home/a/.pyenv/versions/3.8.1/bin/python \"/x/.pyenv/versions/3/lib\" ('/y/.pyenv/versions/3/a')")
    assert found == "PYTHON/bin/python \"PYTHON/lib\" ('PYTHON/a')"


def test_a_word_of_millions_of_characters_is_read_once() -> None:
    word = "x" * 5_000_000  # read from each of its characters, it would take hours
    assert portable(word) == word
