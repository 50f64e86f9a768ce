"""`harness probe` on applications as people write them, with real workers; nothing of them is changed or installed beside."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.environments import Environment
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.worker import contract
from tests.integration.conftest import Harness

PROJECTS = Path(__file__).resolve().parent.parent / "probe_projects"
SHORT = ("--measure-s", 0.5, "--requests", 10, "--noise-limit", 100, "--confirm-s", 1, "--stable-limit-s", 0.2)


class Prober:
    """Probes a copy of a test project from the command line."""

    def __init__(self, harness: Harness, environment: Environment, folder: Path) -> None:
        self.harness, self.environment, self.folder = harness, environment, folder

    def project(self, name: str) -> Path:
        return Path(shutil.copytree(PROJECTS / name, self.folder / name, dirs_exist_ok=True))

    def __call__(
        self, app: str, task: str, rows: Any, *options: object, folder: Path, first_look: bool = False
    ) -> tuple[int, str, dict[str, TrialRecord]]:
        """(exit code, what was printed, records by pool). `first_look`: whether it begins with a check, as a user's does; one
        probe of each application is enough for that."""
        (self.folder / "rows.json").write_text(json.dumps(rows))
        begins = "--first-look" if first_look else "--no-first-look"
        ran = self.harness(
            "probe", "--app", app, "--task", task, "--args", "rows.json", "--python", self.environment.python, "--cwd", folder,
            "--out", "probe", begins, *SHORT, *options,
        )  # fmt: skip
        records = RunFolder(self.folder / "probe").latest().values()
        return ran.returncode, ran.stdout + ran.stderr, {record.as_cell.pool: record for record in records}


@pytest.fixture
def probe(harness: Harness, celery_environment: Environment, tmp_path: Path) -> Prober:
    return Prober(harness, celery_environment, tmp_path)


@pytest.fixture
def shop(probe: Prober) -> Path:
    (probe.folder / "shop.env").write_text('# the shop\nexport SHOP_FACTOR="2"\n')
    return probe.project("shop")


def test_every_pool_answers_as_the_serial_calls_do(probe: Prober, shop: Path) -> None:
    rows = [[3], {"count": 4, "each": 0.5}, {"args": [5], "kwargs": {"each": 2}}]
    code, said, records = probe("shop:app", "shop.price", rows, "--env-file", "shop.env", folder=shop, first_look=True)
    assert code == 0, said
    assert "check: " in said
    assert {pool: record.outcome for pool, record in records.items()} == dict.fromkeys(
        ("in-process", "prefork", "prefork-spawn", "threads", "gevent", "eventlet", "solo"), "ok"
    ), said
    assert "result.receipt" in said  # it differs from call to call
    assert "global_keyprefix" in said
    assert all("match those of serial calls" in record.reason for pool, record in records.items() if pool != "in-process")
    assert all(record.certainty.figures and record.certainty.figures.throughput_per_s > 0 for record in records.values())
    assert records["prefork"].pace.executors_seen == 2
    assert records["threads"].pace.stages_p50_s["predict"] > 0
    header = json.loads((probe.folder / "probe/run.json").read_text())
    assert header["application"]["task"] == "shop.price"
    assert "celery" in records["prefork"].asked.versions


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("shop.doubling", 6),
        ("shop.tripling", 9),
        ("shop.forgotten", 3),
        ("shop.written", 3),
        ("shop.started", [3, 0]),
        ("shop.progressing", 3),
        ("shop.retried", 3),
        ("shop.urgent", 3),
    ],
)
def test_tasks_however_they_are_written(probe: Prober, shop: Path, task: str, answer: object) -> None:
    code, said, records = probe(
        "shop", task, [[3]], "--env-file", "shop.env", "--pools", "threads", "--check", f"result == {answer!r}", folder=shop
    )
    assert code == 0, said
    assert {record.outcome for record in records.values()} == {"ok"}, said
    assert "pass the check" in records["threads"].reason
    assert (shop / "receipts.txt").exists() == (task == "shop.written")


def test_a_workers_own_line_stands_for_options(probe: Prober, shop: Path) -> None:
    line = "SHOP_FACTOR=2 celery -A shop:app worker --pool solo -c 1 -Q rare --prefetch-multiplier 1 --beat"
    _, said, records = probe("", "shop.routed", [[3]], "--worker", line, "--pools", "solo", "--max-calls", "60", folder=shop)
    assert records["solo"].outcome == "ok", said
    assert "worker line: --beat is left out: no beat runs" in said
    known = json.loads((probe.folder / "probe/run.json").read_text())["application"]
    assert (known["app"], known["consumed"]) == ("shop:app", "rare")
    assert known["limits"]["prefetch_multiplier"] == 1
    assert known["worker"] == {
        "arguments": ["--queues", "rare", "--prefetch-multiplier", "1"], "variables": {"SHOP_FACTOR": "2"}, "script": True,
    }  # fmt: skip


def test_a_copy_takes_what_the_task_writes(probe: Prober, shop: Path) -> None:
    options = ("--env-file", "shop.env", "--pools", "solo", "--copy", "--max-calls", "60")
    code, said, records = probe("shop", "shop.written", [[3]], *options, folder=shop, first_look=True)
    assert (code, records["solo"].outcome) == (0, "ok"), said
    assert "copy: below its folder the application wrote receipts.txt; now removed" in said
    assert "the task is called 60 times at the most" in said
    assert not (shop / "receipts.txt").exists()


@pytest.mark.parametrize(("task", "reason"), [("shop.broken", "ValueError: <b>no</b> price for 3"), ("shop.returned", "")])
def test_a_task_that_raises_or_returns_an_exception_is_errors(probe: Prober, shop: Path, task: str, reason: str) -> None:
    options = ("--env-file", "shop.env", "--pools", "threads,solo")
    _, said, records = probe("shop", task, [[3]], *options, folder=shop)
    ends = {pool: record.outcome for pool, record in records.items()}
    assert ends == {"in-process": "errors", "threads": "errors", "solo": "skipped"}, said
    assert "not run, for every call raised, without Celery and in threads" in said
    assert reason in records["threads"].reason
    _, said, records = probe("shop", task, [[3]], *options, "--go-on", folder=shop)
    assert {record.outcome for record in records.values()} == {"errors"}, said
    assert reason in records["solo"].reason


def test_a_queue_that_nobody_consumes_is_refused_and_named(probe: Prober, shop: Path) -> None:
    options = ("--env-file", "shop.env", "--pools", "solo")
    _, said, records = probe("shop", "shop.routed", [[3]], *options, folder=shop)
    assert records["solo"].outcome == "refused", said
    assert "no consumer for queue 'rare'" in records["solo"].reason
    _, said, records = probe("shop", "shop.routed", [[3]], *options, "--queue", "rare", "--fresh", folder=shop)
    assert records["solo"].outcome == "ok", said


def test_a_check_that_fails_is_wrong(probe: Prober, shop: Path) -> None:
    options = ("--env-file", "shop.env", "--pools", "solo", "--check", "result['total'] > 1000")
    _, said, records = probe("shop", "shop.price", [[3]], *options, folder=shop)
    assert records["solo"].outcome == "wrong", said


def test_a_first_task_that_is_slow_in_each_child_is_no_hang(probe: Prober) -> None:
    options = ("--pools", "prefork,threads")
    folder = probe.project("cold")
    code, said, records = probe("cold:app", "cold.predict", [[1], [2]], *options, folder=folder, first_look=True)
    assert code == 0, said
    assert {pool: record.outcome for pool, record in records.items()} == dict.fromkeys(
        ["in-process", "prefork", "threads"], "ok"
    )
    assert all((record.pace.first_predict_s or 0.0) > 5.0 for record in records.values())
    requests = pd.read_parquet(probe.folder / "probe" / records["prefork"].answers.requests_file)
    ended = requests.groupby("pid")["predict_end"].min()
    measured = requests[requests["phase"] == contract.PHASES.index("measure")]
    assert len(ended) == 2
    assert ended.max() <= measured["published"].min(), "no child is cold any more when it is measured"


def test_answers_in_msgpack_are_read(probe: Prober, tmp_path: Path) -> None:
    side = tmp_path / "side"
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--python", probe.environment.python, "--target", side, "msgpack"]
    subprocess.run(list(map(str, install)), check=True)
    (tmp_path / "packed.env").write_text(f"PYTHONPATH={side}\n")
    options = ("--env-file", "packed.env", "--pools", "prefork")
    folder = probe.project("shop")
    code, said, records = probe("packed:app", "packed.joined", [["a", "b"]], *options, folder=folder, first_look=True)
    assert code == 0, said
    assert {record.outcome for record in records.values()} == {"ok"}, said
    assert "match those of serial calls" in records["prefork"].reason


@pytest.mark.parametrize(
    ("app", "task", "rows", "said"),
    [
        ("nothing:app", "shop.price", [[1]], "nothing"),
        ("shop:app", "shop.prize", [[1]], "shop.price"),
        ("shop:app", "shop.price", [[1, 2, 3]], "row 1"),
        ("shop:app", "shop.price", [3], "row 1"),
        ("shop:app", "shop.price", [], "not a list with one entry"),
    ],
)
def test_what_is_named_wrongly_is_said_without_a_traceback(
    probe: Prober, shop: Path, app: str, task: str, rows: list[object], said: str
) -> None:
    code, printed, records = probe(app, task, rows, "--env-file", "shop.env", folder=shop, first_look=True)
    assert code == 3, printed
    assert said in printed
    assert "Traceback" not in printed
    assert not records


def test_a_model_loaded_at_import_hangs_in_prefork_and_the_printed_change_mends_it(probe: Prober) -> None:
    folder = probe.project("forking")
    options = ("--pools", "prefork,threads")
    _, said, records = probe("tasks:app", "tasks.predict", [[2], [5]], *options, folder=folder, first_look=True)
    assert "check: " in said
    assert records["prefork"].outcome == "hung", said
    assert records["threads"].outcome == "ok", said
    advice = probe.harness("recommend", "probe", "--markdown", "advice.md").stdout
    assert "app-threads-c2" in advice
    assert "celery --app tasks:app worker --pool threads --concurrency 2" in advice
    assert "line 8 of tasks.py" in advice
    text = (probe.folder / "advice.md").read_text()
    diff = text.partition("```diff\n")[2].partition("```")[0]
    subprocess.run(["patch", "-p1"], cwd=folder, input=diff, text=True, check=True, capture_output=True)
    _, said, records = probe("tasks:app", "tasks.predict", [[2], [5]], *options, folder=folder)
    assert {record.outcome for record in records.values()} == {"ok"}, said


def test_a_probe_is_completed_by_the_next_and_nothing_else_is_mixed_in(probe: Prober, shop: Path) -> None:
    options = ("--env-file", "shop.env", "--pools")
    probe("shop:app", "shop.price", [[1]], *options, "solo", folder=shop)
    code, said, _ = probe("shop:app", "shop.forgotten", [[1]], *options, "solo", folder=shop)
    assert code == 3
    assert "holds a probe of shop.price in shop:app" in said
    code, said, records = probe("shop:app", "shop.price", [[1]], *options, "solo,threads", folder=shop)
    assert code == 0, said
    assert "of 3 trials are on record" in said
    assert set(records) == {"in-process", "solo", "threads"}
    (probe.folder / "shop.env").write_text("SHOP_FACTOR=3\n")
    code, said, _ = probe("shop:app", "shop.price", [[1]], *options, "solo", folder=shop)
    assert code == 0, said
    assert "are on record" not in said, "other variables are another probe"


def test_a_check_of_answers_that_cannot_be_read_is_not_passed(probe: Prober, shop: Path) -> None:
    (probe.folder / "root.env").write_text("C_FORCE_ROOT=1\n")  # Celery lets nobody else run as root with pickles
    options = ("--env-file", "root.env", "--pools", "solo", "--check", "result == 999")
    _, said, records = probe("pickled:app", "pickled.price", [[3]], *options, folder=shop, first_look=True)
    assert records["solo"].outcome == "unchecked", said
    assert "pass the check" not in records["solo"].reason
    assert any("not checked" in doubt for doubt in records["solo"].certainty.doubts)


def test_a_task_that_ignores_on_purpose_is_errors_and_says_so(probe: Prober) -> None:
    _, said, records = probe("sides:app", "sides.ignored", [[1]], "--pools", "threads", folder=probe.project("sides"))
    assert records["threads"].outcome == "errors", said
    assert "Ignored: the task answers nothing, on purpose" in records["threads"].reason


def test_a_task_that_another_one_answers_for_has_answered(probe: Prober) -> None:
    folder = probe.project("sides")
    _, said, records = probe("sides:app", "sides.replaced", [[1], [2]], "--pools", "threads", folder=folder, first_look=True)
    assert {record.outcome for record in records.values()} == {"ok"}, said
    assert "match those of serial calls" in records["threads"].reason


def test_messages_expire_after_their_sending_and_the_pool_is_the_one_that_was_asked_for(probe: Prober) -> None:
    folder = probe.project("sides")
    _, said, records = probe("sides:app", "sides.fresh", [[1]], "--pools", "prefork,solo", folder=folder)
    assert {record.outcome for record in records.values()} == {"ok"}, said
    assert "each message expires 2 s after it is sent" in said
    assert "worker_pool is 'threads' in the settings and beats --pool prefork" in records["prefork"].reason
    assert "worker_pool" not in records["solo"].reason
    limits = json.loads((probe.folder / "probe/run.json").read_text())["application"]["limits"]
    wanted = {"soft_s": 30, "hard_s": None, "rate_per_s": None, "acks_late": False, "expires_s": pytest.approx(2.0, abs=0.5)}
    assert {name: limits[name] for name in wanted} == wanted
    assert records["prefork"].pace.executors_seen == 2


def test_settings_are_kept_or_overridden_and_named_wherever_they_are_set(probe: Prober) -> None:
    folder = probe.project("settled")
    nowhere = "redis://127.0.0.1:1/0"  # the owner's own, which a worker must not be led to
    variables = {
        "BROKER_URL": nowhere, "RESULT_BACKEND": nowhere, "CELERY_WORKER_AUTOSCALE": "3,1",
        "CELERY_WORKER_PREFETCH_MULTIPLIER": "2",
    }  # fmt: skip
    (probe.folder / "own.env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    options = ("--env-file", "own.env", "--pools", "prefork,threads")
    code, said, records = probe("settled:app", "settled.price", [[1]], *options, folder=folder, first_look=True)
    assert code == 0, said
    assert {record.outcome for record in records.values()} == {"ok"}, said
    for pool in ("prefork", "threads"):
        notes = "\n".join(records[pool].certainty.notes)
        for words in (
            "worker_concurrency is 8 in the settings, overridden",
            "worker_state_db is 'state' in the settings, overridden",
            "task_always_eager is True, kept: a worker runs the requests all the same",
            "worker_lost_wait is 7.0, kept",
            "the task's soft_time_limit 20 is kept",
            "the application's own headers: tenant",
            "the variable BROKER_URL names the private broker",
            "the variable CELERY_WORKER_AUTOSCALE is left out",
            "the variable CELERY_WORKER_PREFETCH_MULTIPLIER is '2', kept",
            "worker_max_tasks_per_child is 5000 in the worker and was None before",
        ):
            assert words in notes, notes
        assert "ignore_result" not in notes, "what is overridden holds, though a worker's own start sets it again"
        assert nowhere not in said
    assert records["prefork"].pace.executors_seen == 2
    assert not list(folder.glob("state*")), "the owner's state file is left alone"
    limits = json.loads((probe.folder / "probe/run.json").read_text())["application"]["limits"]
    assert (limits["prefetch_multiplier"], limits["soft_s"]) == (2, 20)
    shown = probe.harness("show", "probe").stdout
    assert "note: worker_concurrency is 8" in shown


def test_a_hang_of_the_task_itself_is_paid_for_once(probe: Prober) -> None:
    folder = probe.project("sides")
    options = ("--pools", "threads", "--repeat", 2, "--limit-s", 60)
    _, said, _ = probe("sides:app", "sides.stuck", [[1]], *options, folder=folder)
    ended = {(one.as_cell.pool, one.trial): one for one in RunFolder(probe.folder / "probe").latest().values()}
    assert ended["in-process", 1].outcome == ended["threads", 1].outcome == "hung", said
    assert ended["threads", 1].ended.proof == ended["in-process", 1].ended.proof != ""
    assert ended["threads", 2].outcome == "skipped"
    assert "trial 1 hung, the serial calls did, too" in ended["threads", 2].reason


def test_a_slow_task_is_measured_from_its_first_request_on_and_no_more_often_than_was_asked_for(probe: Prober) -> None:
    options = ("--pools", "prefork,threads", "--requests", 4)
    folder = probe.project("slow")
    code, said, records = probe("slow:app", "slow.doubled", [[1], [2]], *options, folder=folder, first_look=True)
    assert code == 0, said
    assert re.search(r"a call takes [\d.]+ s without Celery: 2 trials with 4 requests each take about", said), said
    for pool in ("prefork", "threads"):
        one = records[pool]
        assert (one.outcome, one.answers.requests, one.pace.warmup_requests) == ("ok", 4, 0), said
        figures = one.certainty.figures
        assert figures is not None
        low, high = figures.throughput_span_per_s
        assert low is not None
        assert high is not None
        assert low < figures.throughput_per_s < high
        assert figures.throughput_per_s < 2 / 1.5, "two executors, and a second and a half for each request"
        assert re.fullmatch(r"a call takes [\d.]+ s: 4 requests were measured, without a warm-up", one.certainty.notes[-1])
    assert records["prefork"].pace.executors_seen == 2


def test_what_a_budget_does_not_buy_is_not_started_and_is_measured_with_a_larger_one(probe: Prober) -> None:
    folder = probe.project("slow")
    options = ("--pools", "threads,solo", "--requests", 4, "--budget")
    code, said, records = probe("slow:app", "slow.doubled", [[1]], *options, "20s", folder=folder)
    assert code == 0, said
    assert records["solo"].outcome == "skipped"
    assert records["solo"].reason.startswith("not measured within the budget of 20 s: it takes about")
    advice = probe.harness("recommend", "probe")
    assert "not measured within the budget" in advice.stdout
    code, said, records = probe("slow:app", "slow.doubled", [[1]], *options, "10m", folder=folder)
    assert records["solo"].outcome == "ok", said
    assert records["threads"].outcome == "ok"


def test_a_task_is_called_no_more_often_than_is_allowed(probe: Prober, shop: Path) -> None:
    options = ("--env-file", "shop.env", "--pools", "threads,solo", "--requests", 50, "--max-calls", 60)
    _, said, records = probe("shop", "shop.written", [[3]], *options, folder=shop)
    assert {record.outcome for record in records.values()} == {"ok"}, said
    assert {pool: record.answers.requests for pool, record in records.items()} == {"in-process": 6, "threads": 26, "solo": 26}
    assert len((shop / "receipts.txt").read_text().splitlines()) == 60  # and once more without Celery after each pool
