"""The middle of a log that nobody reads is given back to the disk while its writer goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.machine import holes

PAGE = 4096


def test_the_middle_is_given_back_and_the_writer_goes_on_behind_it(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"begin" + b"x" * (400 * PAGE) + b"end")
        size, room = log.stat().st_size, 100 * PAGE
        if not holes.keep_ends(log, first=PAGE, last=PAGE, room=room):
            pytest.skip("the file system here makes no holes")
        assert log.stat().st_blocks * holes.BLOCK <= room
        assert not holes.keep_ends(log, first=PAGE, last=PAGE, room=room), "it takes little now"
        writer.write(b", and more")
    text = log.read_bytes()
    assert len(text) == size + len(b", and more")
    assert text.startswith(b"begin" + b"x" * 1000)
    assert text.endswith(b"x" * 1000 + b"end, and more")
    assert b"\0" * PAGE in text


@pytest.mark.parametrize("content", [None, b"", b"x" * 10 * PAGE])
def test_a_file_that_takes_little_or_is_not_there_stays_as_it_is(content: bytes | None, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    if content is not None:
        log.write_bytes(content)
    assert not holes.keep_ends(log, first=PAGE, last=PAGE, room=20 * PAGE)
    assert (log.read_bytes() if log.exists() else None) == content
