"""A search in somebody's own application: it is asked and called once, and each worker has what its cell says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from harness.environments import Environment
from harness.records.store import RunFolder
from tests.integration.conftest import Harness
from tests.integration.test_probe import PROJECTS


def test_an_application_is_asked_once_and_its_worker_has_what_the_cell_says(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    shutil.copytree(PROJECTS / "shop", tmp_path / "shop")
    (tmp_path / "shop.env").write_text("SHOP_FACTOR=2\n")
    (tmp_path / "rows.json").write_text(json.dumps([[3], [5]]))
    ran = harness(
        "tune", "--app", "shop:app", "--task", "shop.price", "--args", "rows.json", "--python", celery_environment.python,
        "--cwd", "shop", "--env-file", "shop.env", "--pools", "solo", "--concurrency", 1, "--prefetch", "1,8",
        "--vary", "SHOP_FACTOR=3", "--out", "tuned", "--measure-s", 0.5, "--requests", 10, "--share", 1, "--noise-limit", 100,
        "--repeat", 2,
    )  # fmt: skip
    said = ran.stdout + ran.stderr
    assert said.count("asking shop:app what it is") == 1, said
    assert re.search(r"4 of 4 configurations measured", said), said
    records = {record.cell_id: record for record in RunFolder(tmp_path / "tuned").latest().values()}
    assert max(record.trial for record in records.values()) == 2
    assert sum(record.as_cell.is_baseline for record in records.values()) == 1
    ends = {(record.as_cell.variables, str(record.outcome)) for record in records.values() if not record.as_cell.is_baseline}
    assert ends == {("", "ok"), ("SHOP_FACTOR=3", "wrong")}, said  # the serial calls had the application's own
    header = json.loads((tmp_path / "tuned/run.json").read_text())["application"]
    assert header["varied"] == ["prefetch"]
    notes = [note for record in records.values() for note in record.certainty.notes]
    assert not [note for note in notes if "prefetch" in note]
