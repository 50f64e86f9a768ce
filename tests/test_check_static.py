"""What `harness check` sees in the source alone: small modules as text, each with the rule that it is about, or with none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.applications.check import answer, finding, modules, screen, static
from harness.applications.check.finding import Level
from harness.applications.check.modules import Source
from harness.applications.check.static.limits import Line
from harness.applications.probe.worker_line import parse
from harness.errors import BadInput, Exit

CELERY = "from celery import Celery\napp = Celery('shop', broker='redis://localhost')\n"

INIT = "from celery.signals import worker_init, worker_process_init\nMODEL = {}\n@worker_process_init.connect\ndef load(**_):\n"
USES = "@app.task\ndef predict(x):\n    return MODEL['w'] * x\n"
FOUND = [
    ("model-at-import", 2, "from tensorflow import keras\nMODEL = keras.models.load_model('m.keras')\n"),
    ("model-at-import", 4, "import torch\ndef load():\n    return torch.load('w')\nNET = load()\n"),
    ("model-at-import", 5, "import onnxruntime as ort\nclass Net:\n    def __init__(self):\n"
     "        self.s = ort.InferenceSession('m')\nNET = Net()\n"),
    ("model-at-import", 4, "from django.apps import AppConfig\nclass Shop(AppConfig):\n    def ready(self):\n"
     "        import joblib; self.net = joblib.load('m')\n"),
    ("engine-at-import", 2, "import faiss\nINDEX = faiss.IndexFlatL2(64)\n"),
    ("client-at-import", 2, "import psycopg2\nDB = psycopg2.connect('dbname=shop')\n"),
    ("client-at-import", 2, "from redis import Redis\nSTORE = Redis(single_connection_client=True)\n"),
    ("client-at-import", 2, "import smtplib\nMAIL = smtplib.SMTP('mail')\n"),
    ("pool-at-import", 2, "from concurrent.futures import ThreadPoolExecutor as Pool\nCREW = Pool(4)\n"),
    ("thread-at-import", 2, "import threading\nthreading.Thread(target=print, daemon=True).start()\n"),
    ("thread-at-import", 3, "from threading import Timer\nCLOCK = Timer(5, print)\nCLOCK.start()\n"),
    ("lock-at-import", 2, "import threading\nGUARD = threading.Lock()\nthreading.Thread(target=print).start()\n"),
    ("loop-at-import", 2, "import asyncio\nLOOP = asyncio.new_event_loop()\n"),
    ("model-in-task-init", 4, "import joblib, celery\nclass Predict(celery.Task):\n"
     "    def __init__(self):\n        self.m = joblib.load('m')\n"),
    ("start-window", 5, "from celery.signals import worker_process_init\nimport joblib\n"
     "@worker_process_init.connect\ndef load(**_):\n    joblib.load('m')\n"),
    ("init-not-sent", 4, INIT + "    MODEL['w'] = 3\n" + USES),
    ("init-not-sent", 4, INIT + "    global MODEL\n    MODEL = read()\ndef read():\n    return 3\n" + USES),
    ("init-not-sent", 4, INIT + "    fill()\ndef fill():\n    MODEL.update(w=3)\n" + USES),
    ("init-not-sent", 4, "from celery.loaders.app import AppLoader\nMODEL = {}\nclass Loader(AppLoader):\n"
     "    def on_worker_process_init(self):\n        MODEL['w'] = 3\n" + USES),
    ("weak-receiver", 3, "from celery.signals import worker_init\ndef install():\n    def load(**_):\n        pass\n"
     "    worker_init.connect(load)\n"),
    ("weak-receiver", 4, "from celery import signals\ndef install():\n    @signals.worker_init.connect\n    def load(**_):\n"
     "        pass\n"),
    ("weak-receiver", 2, "from celery.signals import worker_init\nworker_init.connect(lambda **_: print(1))\n"),
    ("result-in-task", 3, "@app.task\ndef report(x):\n    return part.delay(x).get()\n"),
    ("result-in-task", 4, "@app.task\ndef report(x):\n    sent = part.apply_async((x,))\n    return sent.get(timeout=5)\n"),
    ("result-in-task", 4, "@app.task\ndef report(x):\n    sent: AsyncResult = part.delay(x)\n    return sent.get()\n"),
    ("thread-at-import", 3, "from threading import Timer\nCLOCK: Timer = Timer(5, print)\nCLOCK.start()\n"),
    ("limit-not-kept", 3, "class Settings:\n    worker_pool: str = 'threads'\n    task_time_limit: int = 30\n"),
    ("processes-in-task", 4, "import multiprocessing\n@app.task\ndef spread(x):\n"
     "    with multiprocessing.Pool(4) as pool:\n        return pool.map(len, x)\n"),
    ("limit-not-kept", 2, "app.conf.worker_pool = 'threads'\n@app.task(time_limit=30)\ndef slow(x):\n    return x\n"),
    ("limit-not-kept", 1, "app.conf.update(task_soft_time_limit=9, worker_pool='gevent')\n"),
    ("visibility-timeout", 1, "@app.task(time_limit=2 * 60 * 60)\ndef long(x):\n    return x\n"),
    ("visibility-timeout", 3, "app.conf.broker_transport_options = {'visibility_timeout': 600}\n"
     "def later():\n    part.apply_async((1,), countdown=3600)\n"),
]  # fmt: skip
SILENT = [
    "import tensorflow\n@app.task\ndef predict(x):\n    return tensorflow.keras.models.load_model('m').predict(x)\n",
    "import torch\nif __name__ == '__main__':\n    NET = torch.load('w')\n",
    "import threading\nGUARD = threading.Lock()\n@app.task\ndef add(x):\n    with GUARD:\n        return x\n",
    "@app.task\ndef look_up(x):\n    return {'a': 1}.get(x)\n",
    "@app.task\ndef later(x):\n    part.delay(x)\n",
    "def start():\n    import threading\n    threading.Thread(target=print).start()\n",
    "@app.task(time_limit=30)\ndef slow(x):\n    return x\n",
    "app.conf.worker_pool = 'gevent'\n@app.task(time_limit=30)\ndef slow(x):\n    return x\n",
    "app.conf.worker_proc_alive_timeout = 90\nfrom celery.signals import worker_process_init\nimport joblib\n"
    "@worker_process_init.connect\ndef load(**_):\n    joblib.load('m')\n",
    "import multiprocessing\n@app.task\ndef spread(x):\n    return multiprocessing.cpu_count()\n",
    "from celery.signals import worker_init\ndef install():\n    def load(**_):\n        pass\n"
    "    worker_init.connect(load, weak=False)\n",
    "from celery.signals import worker_init\ndef install():\n    def load(**_):\n        pass\n"
    "    worker_init.connect(load)\n    return load\n",
    "from celery.signals import worker_init\n@worker_init.connect\ndef load(**_):\n    pass\n",
    "from blinker import worker_init\nworker_init.connect(lambda **_: print(1))\n",
    "import multiprocessing\nCACHE = multiprocessing.Manager().dict()\n",
    INIT + "    MODEL['w'] = 3\n",
    INIT + "    print(MODEL)\n" + USES,
    INIT + "    MODEL = 3\n" + USES,
    INIT.replace("{}", "{'w': 2}") + "    MODEL['w'] = 3\n" + USES,
    INIT.replace("@", "@worker_init.connect\n@", 1) + "    MODEL['w'] = 3\n" + USES,
    INIT + "    get()\ndef get():\n    global MODEL\n    MODEL = {'w': 3}\n    return MODEL\n"
    + "@app.task\ndef predict(x):\n    return get()['w'] * x\n",
]  # fmt: skip


def source(text: str, *, head: str = CELERY) -> Source:
    return Source(path="shop.py", module="shop", text=head + text, tree=modules.tree_of(head + text))


@pytest.mark.parametrize(("rule", "line", "text"), FOUND, ids=[f"{rule}-{place}" for place, (rule, _, _) in enumerate(FOUND)])
def test_a_rule_finds_its_line(rule: str, line: int, text: str) -> None:
    found = static.found([source(text)])
    places = {(one.rule, one.line - CELERY.count("\n")) for one in found}
    assert (rule, line) in places, found


@pytest.mark.parametrize("text", SILENT)
def test_nothing_is_found_in_what_is_fine(text: str) -> None:
    assert static.found([source(text)]) == []


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("import grpc\nCHANNEL = grpc.insecure_channel('model:50051')\n", Level.NOTE),
        ("import smtplib\nMAIL = smtplib.SMTP()\n", Level.NOTE),
        ("import smtplib\nMAIL = smtplib.SMTP(host=HOST)\n", Level.WARNING),
        ("import psycopg2\nDB = psycopg2.connect('dbname=shop')\n", Level.WARNING),
    ],
)
def test_a_client_that_has_not_connected_yet_is_not_said_to(text: str, level: Level) -> None:
    (found,) = static.found([source(text)])
    assert (found.rule, found.level) == ("client-at-import", level)
    assert ("connects in the main process" in found.what) is (level is Level.WARNING)


@pytest.mark.parametrize("pool", ["threads", "gevent", "prefork", ""])
def test_what_is_made_in_children_alone_is_a_warning_in_a_pool_that_has_none(pool: str) -> None:
    text = INIT + "    MODEL['w'] = 3\n" + USES + (f"app.conf.worker_pool = {pool!r}\n" if pool else "")
    (found,) = static.found([source(text)])
    assert (found.rule, found.level) == ("init-not-sent", Level.WARNING if pool in ("threads", "gevent") else Level.NOTE)


def test_each_rule_of_the_source_has_an_example() -> None:
    assert {rule.name for rule in finding.RULES.values() if rule.static} == {rule for rule, _, _ in FOUND}


def test_the_source_alone_never_makes_an_error() -> None:
    assert {one.level for _, _, text in FOUND for one in static.found([source(text)])} <= {Level.WARNING, Level.NOTE}


def test_only_the_modules_that_the_application_imports_are_read(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    (package / "tasks").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text(
        "from celery import Celery\nfrom .prices import PRICE\napp = Celery(include=['shop.tasks.daily'])\n"
    )
    (package / "prices.py").write_text("from shop import deep\nPRICE = 1\n")
    (package / "deep.py").write_text("import json\n")
    (package / "tasks" / "__init__.py").write_text("")
    (package / "tasks" / "daily.py").write_text("")
    (package / "unused.py").write_text("")
    (package / "broken.py").write_text("def (\n")
    found = {one.path for one in modules.sources("shop.app:app", tmp_path)}
    assert found == {
        "shop/__init__.py", "shop/app.py", "shop/prices.py", "shop/deep.py", "shop/tasks/__init__.py", "shop/tasks/daily.py",
    }  # fmt: skip


def test_packages_in_src_are_read_once(tmp_path: Path) -> None:
    files = {
        "worker.py": "from celery import Celery\nimport proj.models\napp = Celery()\napp.autodiscover_tasks()\n",
        "src/proj/__init__.py": "", "src/proj/models.py": "", "src/proj/shop/tasks.py": "", "src/unused/other.py": "",
        "src/proj/shop/apps.py": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [one.path for one in modules.sources("worker:app", tmp_path)]
    assert sorted(found) == [
        "src/proj/__init__.py", "src/proj/models.py", "src/proj/shop/apps.py", "src/proj/shop/tasks.py", "worker.py",
    ]  # fmt: skip
    assert {one.path for one in modules.sources("proj.shop.tasks:app", tmp_path)} == {
        "src/proj/__init__.py",
        "src/proj/shop/tasks.py",
    }


def test_an_application_without_a_module_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no module 'shop'"):
        modules.sources("shop:app", tmp_path)


def test_the_answer_of_the_source_alone_claims_no_more(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(CELERY + FOUND[0][2])
    told = screen.text(answer.of_source("shop:app", tmp_path, Line()))
    assert "not imported" in told.splitlines()[0]
    assert "shop.py:4 [model-at-import]" in told
    assert max(map(len, told.splitlines())) <= screen.WIDTH


def left(monkeypatch: pytest.MonkeyPatch, *words: object) -> object:
    """What the command line ends with."""
    monkeypatch.setattr(sys, "argv", ["harness", "check", *map(str, words)])
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or Exit.DONE
    return Exit.DONE


def test_the_verb_writes_sarif_beside_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop.py").write_text(CELERY + FOUND[0][2])
    out = tmp_path / "shop.sarif"
    assert left(monkeypatch, "--static", "--app", "shop:app", "--cwd", tmp_path, "--json", "--sarif", out) == Exit.DONE
    told, written = json.loads(capsys.readouterr().out), json.loads(out.read_text())
    assert [one["rule"] for one in told["findings"]] == [one["ruleId"] for one in written["runs"][0]["results"]] != []
    assert told["imported"] is False


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--static", "--app", "shop:app", "--cwd", "nowhere"), Exit.BAD_INPUT),
        (("--static", "--app", "shop:app", "--task", "shop.add"), Exit.BAD_INPUT),
        (("--app", "shop:app", "--args", "rows.json"), Exit.BAD_INPUT),
        (("--static", "--app", "shop:app", "--sarif", "nowhere/shop.sarif"), Exit.CANNOT_WRITE),
    ],
)
def test_bad_input_is_told_as_everywhere(
    words: tuple[str, ...], code: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop.py").write_text(CELERY)
    monkeypatch.chdir(tmp_path)
    assert left(monkeypatch, *words) == code
    assert capsys.readouterr().err.startswith("error: ")


def of_line(line: Line, text: str) -> list[tuple[str, int, str]]:
    return [(one.rule, one.line, one.what) for one in answer.of_sources("shop:app", [source(text)], line).findings]


def test_the_pool_of_the_worker_s_line_is_held_against_the_limits() -> None:
    text = "app.conf.worker_pool = 'solo'\n@app.task(time_limit=30)\ndef slow(x):\n    return x\n"
    said = "time_limit is 30 s, and the pool {} does not keep it"
    assert of_line(Line(), text) == [("limit-not-kept", 4, said.format("'solo' of the settings"))]
    assert of_line(Line(pool="threads"), text) == [("limit-not-kept", 4, said.format("'threads' of the worker's line"))]
    assert of_line(Line(pool="gevent"), text) == [], "which keeps it"


def test_the_limits_of_the_worker_s_line_are_held_against_its_pool_and_the_broker() -> None:
    line = parse("celery -A shop worker -P gevent --time-limit 7200 --soft-time-limit 60.5")
    assert line.limits == {"time_limit": 7200.0, "soft_time_limit": 60.5}
    assert parse("celery -A shop worker --time-limit 0").limits == {}
    text = "app = Celery(broker='redis://localhost')\n"
    said = Line(pool=line.pool, limits=line.limits)
    assert [rule for rule, _, _ in of_line(said, text)] == [
        "limit-not-kept",
        "visibility-timeout",
    ]
    assert [rule for rule, _, _ in of_line(Line(limits=line.limits), text)] == ["visibility-timeout"], "prefork keeps both"
    settings = "app.conf.worker_pool = 'threads'\n"
    assert [what for _, _, what in of_line(Line(limits={"time_limit": 60.0}), settings)] == [
        "time_limit is 60 s, and the pool 'threads' of the settings does not keep it"
    ]
