"""`harness probe --mix`: several tasks of an application in one real worker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harness.environments import Environment
from harness.records.store import RunFolder
from tests.integration.conftest import Harness

PROJECTS = Path(__file__).resolve().parent.parent / "probe_projects"
SHORT = ("--measure-s", 0.5, "--requests", 30, "--noise-limit", 100, "--confirm-s", 1, "--stable-limit-s", 0.2)
MIX = """
[[task]]
name = "shop.price"
args = [[3], {count = 4, each = 0.5}]
share = 8
[[task]]
name = "shop.routed"
args = "counts.json"
share = 1
[[task]]
name = "shop.broken"
args = [[7]]
share = 1
"""


def test_each_task_of_a_mix_is_sent_to_its_queue_and_reported_by_itself(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    shop = shutil.copytree(PROJECTS / "shop", tmp_path / "shop")
    (tmp_path / "day.toml").write_text(MIX)
    (tmp_path / "counts.json").write_text("[[1], [2]]")
    ran = harness(
        "probe", "--app", "shop:app", "--mix", "day.toml", "--python", celery_environment.python, "--cwd", shop,
        "--out", "probe", "--pools", "prefork", "--no-first-look", *SHORT, SHOP_FACTOR="2",
    )  # fmt: skip
    said = ran.stdout + ran.stderr
    records = {record.as_cell.pool: record for record in RunFolder(tmp_path / "probe").latest().values()}
    assert "each worker is started with --queues celery,rare" in said
    price, routed, broken = records["prefork"].answers.tasks
    assert (price.task, price.ok, routed.task, routed.ok) == ("shop.price", price.requests, "shop.routed", routed.requests), (
        said
    )
    assert price.requests > routed.requests > 0
    assert (broken.ok, sum(broken.errors.values())) == (0, broken.requests)
    assert records["prefork"].outcome == "errors"
    assert "shop.broken raises each time, and no other" in records["prefork"].reason
    assert "shop.price: result.receipt" in said, "what differs from call to call is left out of its own task alone"
    assert "shop.routed (10 %): " in said
    known = json.loads((tmp_path / "probe/run.json").read_text())["application"]
    assert (known["mix"]["shop.price"], known["queues"]) == (0.8, "celery,rare")
