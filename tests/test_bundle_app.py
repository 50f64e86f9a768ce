"""The archive of somebody's own application: which cell it is of, what is in it, and what is not."""

from __future__ import annotations

import ast
import gzip
import json
import os
import signal
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from celery import Celery
from celery.backends.filesystem import FilesystemBackend
from kombu.transport.filesystem import Channel

from harness.applications.probe.header import digest
from harness.applications.reproducer import anonymous, application, command, message_files, own, particulars, reproduce, sources
from harness.applications.reproducer.command import check_options
from harness.errors import BadInput, NothingMatches
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.store import RunFolder
from tests.handmade import record

ROWS: list[Any] = [["Erika Mustermann", 123456789012], {"kunde": "quux-7"}]
SOURCE = """
from celery import Celery
from acmelib.keys import sign

app = Celery("acmeshop", broker="redis://user:brokerpw1@prod/0")
API_KEY = "live-key-424242"
DATABASES = {"default": {"PASSWORD": 'pw-9-of-the-db', "HOST": "db"}}
app.conf["redis_password"] = b"rpw-0-1"


@app.task
def price(kunde, n=1):
    return sign(n, secret="ünï-code-1")
"""
KEYS = '''
def sign(n, *, secret="def-secret-5", mode="fast"):
    """Not live-key-424242."""
    return get("TOKEN", "fallback-tok-1") or n
'''
SECRETS = ("brokerpw1", "live-key-424242", "pw-9-of-the-db", "rpw-0-1", "code-1", "def-secret-5", "fallback-tok-1", "s3cr3t-77")
STACK = """Process 12118: /srv/acme/venv/bin/python -m celery -A acmeshop:app worker
Thread 12118 (idle): "acme-poller"
    _epoll.poll (kombu/utils/eventio.py:83)
    quote_zebra (acmelib/keys.py:3)
    wait (threading.py:320)
    internal_walrus (zebracorp/http.py:9)
"""


def cell(pool: str) -> Cell:
    return Cell(backend="app", pool=pool, concurrency=2, placement="as-written", call="task", workload="acmeshop.price")


def probe(folder: Path, ends: Mapping[str, Outcome], reason: str = "") -> Path:
    """A probe's folder with one trial for each pool, its evidence, and an application beside it."""
    place, run = folder / "acme", RunFolder(folder / "probe")
    (place / "acmelib").mkdir(parents=True)
    run.path.mkdir()
    (place / "acmeshop.py").write_text(SOURCE)
    (place / "acmelib" / "__init__.py").touch()
    (place / "acmelib" / "keys.py").write_text(KEYS)
    (folder / "rows.json").write_text(json.dumps(ROWS))
    (folder / "acme.env").write_text("ACME_TOKEN=s3cr3t-77\nACME_MODE=turbo\nDB=postgres://me:s3cr3t-77@db/x\n")
    application = {
        "app": "acmeshop:app", "task": "acmeshop.price", "queue": "", "consumed": "celery", "celery": [5, 7], "varied": [],
        "rows_digest": digest(ROWS), "one_thread": {},
        "from_here": {"folder": "../acme", "args": "../rows.json", "env_file": "../acme.env"},
    }  # fmt: skip
    installed = {"celery": "5.7.0", "kombu": "5.7.0", "zebracorp": "1.0"}
    run.write_header(application=application, environments={"app": {"installed": installed, "interpreter": "3.11.7"}})
    for pool, outcome in ends.items():
        one = cell(pool)
        at = f"evidence/{one.id}.1"
        (run.path / at).mkdir(parents=True)
        (run.path / at / "stacks-12118.txt").write_text(STACK)
        (run.path / at / "worker.log").write_text("Erika Mustermann bought a giraffe\n")
        run.append(
            record(cell=one.as_dict(), cell_id=one.id, outcome=outcome, reason=reason, evidence=f"{at}/worker.log", requests=3)
        )
    return run.path


def case(folder: Path, pool: str) -> own.Case:
    return own.read(folder, cell(pool).id, None)


def test_of_a_mix_nothing_is_packed(tmp_path: Path) -> None:
    folder = probe(tmp_path, {"prefork": Outcome.HUNG})
    told = json.loads((folder / "run.json").read_text())
    told["application"]["mix"] = {"a": 0.5, "b": 0.5}
    RunFolder(folder).write_header(**told)
    with pytest.raises(BadInput, match="of a mix of tasks"):
        case(folder, "prefork")


def test_the_pool_that_failed_is_taken(tmp_path: Path) -> None:
    folder = probe(tmp_path, {"solo": Outcome.OK, "prefork": Outcome.HUNG, "threads": Outcome.SKIPPED})
    assert own.is_probe(folder)
    assert not own.is_probe(tmp_path)
    assert own.chosen(folder, []) == cell("prefork").id
    assert own.chosen(folder, ["*-solo-*"]) == cell("solo").id
    with pytest.raises(NothingMatches, match="no cell of"):
        own.chosen(folder, ["*-gevent-*"])
    with pytest.raises(NothingMatches) as caught:
        own.chosen(folder, ["*threads*"])
    assert "--select '*-threads-*'" in caught.value.remedy


def test_what_was_kept_of_the_worker_s_line_is_in_the_archive_too(tmp_path: Path) -> None:
    folder = probe(tmp_path, {"prefork": Outcome.HUNG})
    told = json.loads((folder / "run.json").read_text())
    arguments = ["--prefetch-multiplier", "2", "--include", "acme.more, other", "--queues", "images", "--without-gossip"]
    told["application"] |= {
        "worker": {"arguments": arguments, "variables": {"ZEBRA": "walrus"}},
        "files": ["conf.py", "gone.py"],
    }
    RunFolder(folder).write_header(**told)
    (tmp_path / "acme" / "conf.py").write_text("API_KEY = 'conf-key-77'\nworker_pool = 'threads'\n")
    one = case(folder, "prefork")
    files = own.contents(one, source=True)
    known = json.loads(files["cell.json"])
    assert known["worker_arguments"][-5:] == ["--prefetch-multiplier", "2", "--queues", "images", "--without-gossip"]
    assert known["include"] == ["acme.more", "other"]
    command = particulars.command(known)  # type: ignore[no-untyped-call]
    assert command[-2:] == ["--include", "acme.more,other,particulars"]
    assert command.count("--include") == 1
    assert files["source/conf.py"] == "API_KEY = '***'\nworker_pool = 'threads'\n"
    before = {**one.known, "celery": [4, 4]}
    assert "--queues" not in own.worker_arguments(one.cell, before), "Celery 4 did not read them in the measurement either"
    assert "--queues" in own.worker_arguments(one.cell, {**before, "queue": "b"})
    nameless = anonymous.contents(one)
    assert json.loads(nameless["case.json"])["worker_arguments"][-3:] == ["--prefetch-multiplier", "2", "--without-gossip"]
    assert own.included({**before}, {"CELERY_WORKER_INCLUDE": "more"}) == ["more"]


def test_if_nothing_failed_or_several_pools_did_that_is_said(tmp_path: Path) -> None:
    fine = probe(tmp_path / "fine", {"solo": Outcome.OK, "threads": Outcome.UNCHECKED})
    with pytest.raises(NothingMatches, match="nothing failed in") as caught:
        own.chosen(fine, [])
    assert "--select" in caught.value.remedy
    both = probe(tmp_path / "both", {"solo": Outcome.ERRORS, "prefork": Outcome.HUNG})
    with pytest.raises(BadInput, match=r"2 cells failed: app-solo\S* \(errors\), app-prefork\S* \(hung\)"):
        own.chosen(both, [])


def test_what_was_not_run_and_other_arguments_are_refused(tmp_path: Path) -> None:
    folder = probe(tmp_path, {"threads": Outcome.SKIPPED, "solo": Outcome.ERRORS})
    with pytest.raises(BadInput, match="was not run"):
        case(folder, "threads")
    (tmp_path / "rows.json").write_text("[[1]]")
    with pytest.raises(BadInput, match=r"rows\.json does not hold what the probe sent") as caught:
        case(folder, "solo")
    assert "--args" in caught.value.remedy


def test_the_archive_names_the_worker_the_call_and_where_the_source_is(tmp_path: Path) -> None:
    folder = probe(tmp_path, {"prefork": Outcome.WAITING}, reason="it waits")
    files = own.contents(case(folder, "prefork"), source=False)
    told = json.loads(files["cell.json"])
    assert told["worker_arguments"] == ["--pool", "processes", "--concurrency", "2", "--pool-start-method", "fork"]
    assert (told["app"], told["task"], told["args"]) == ("acmeshop:app", "acmeshop.price", ROWS)
    assert (told["outcome"], told["called"]) == ("waiting", "hung")  # the script proves nothing, and says what it sees
    assert told["variables"] == {"ACME_MODE": "turbo", "ACME_TOKEN": "***", "DB": "postgres://***@db/x"}
    assert "celery --app acmeshop:app worker --pool processes" in files["README.md"]
    assert str(tmp_path / "acme") in told["project"]
    assert files["evidence/trial-1/stacks-12118.txt"] == STACK
    assert not [name for name in files if name.startswith("source/")]


def test_the_source_is_copied_on_request_and_no_secret_of_it_is_in_any_file(tmp_path: Path) -> None:
    folder = probe(tmp_path, {"solo": Outcome.ERRORS}, reason="ValueError: no such key: live-key-424242")
    plain, copied = (own.contents(case(folder, "solo"), source=source) for source in (False, True))
    assert sorted(set(copied) - set(plain)) == ["source/acmelib/__init__.py", "source/acmelib/keys.py", "source/acmeshop.py"]
    assert 'DATABASES = {"default": {"PASSWORD": \'***\', "HOST": "db"}}' in copied["source/acmeshop.py"]
    for files in (plain, copied):
        assert not [(name, secret) for name, text in files.items() for secret in SECRETS if secret in text]
        assert "no such key: ***" in files["README.md"]
    for name in ("source/acmelib/keys.py", "source/acmeshop.py"):
        ast.parse(copied[name])


def test_a_word_that_is_a_secret_somewhere_may_stand_elsewhere() -> None:
    text = "password = 'password'\nPASSWORD = TOKEN = 'x'\nkey = f'{token}'\nlogin(password=password, secret_key=None)\n"
    assert sources.without(text) == text.replace("'password'", "'***'").replace("'x'", "'***'")
    assert sources.without("def broken(:") == "def broken(:"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("USER, PASSWORD = 'me', 'x-1'", "USER, PASSWORD = 'me', '***'"),
        ("(TOKEN, n), m = ('x-1', 'n'), 'm'", "(TOKEN, n), m = ('***', 'n'), 'm'"),
        ("TOKEN = 'tok-' + 'x-1'", "TOKEN = '***' + '***'"),
        ("API_KEY = 'x-1' if USER else None", "API_KEY = '***' if USER else None"),
        ("SECRETS = {'stripe': 'x-1', 'all': ['x-2']}", "SECRETS = {'stripe': '***', 'all': ['***']}"),
        ("password: SecretStr = SecretStr('x1')", "password: SecretStr = SecretStr('***')"),
        ("if TOKEN := 'x-1': pass", "if TOKEN := '***': pass"),
        ("DB_PASSWORD = config('DB_PASSWORD', default='x-1')", "DB_PASSWORD = config('DB_PASSWORD', default='***')"),
        ("config('DB_PASSWORD', default='x-1')", "config('DB_PASSWORD', default='***')"),
        ("ok = token == 'x-1'", "ok = token == '***'"),
        ("API_KEY = f'x-1{n}'", "API_KEY = '***'"),
        ("# the password: hunter2, and DB_TOKEN=abcd", "# the password: *** and DB_TOKEN=***"),
        ("a = 1  # {'secret': 'abcd'}", "a = 1  # {'secret': ***"),
        ("# no token\nb = '# password: a text'", "# no token\nb = '# password: a text'"),
        ("TOKEN = getenv('STRIPE') or settings.get('token')", "TOKEN = getenv('STRIPE') or settings.get('token')"),
    ],
)
def test_a_secret_is_masked_however_it_is_given_to_its_name(before: str, after: str) -> None:
    assert sources.without(before) == after


def test_nothing_of_the_user_s_is_in_any_byte_of_an_anonymous_archive(tmp_path: Path) -> None:
    reason = "3 of 3 requests raised: ValueError: giraffe Erika Mustermann 99887766 in /srv/acme/x.py"
    folder = probe(tmp_path, {"prefork": Outcome.ERRORS}, reason=reason)
    out = own.make(case(folder, "prefork"), tmp_path / "a.tar.gz", source=False, without_names=True)
    assert out.stat().st_mode & 0o077 == 0
    raw = gzip.decompress(out.read_bytes())
    gone = (
        "acme", "Erika", "Mustermann", "123456789012", "kunde", "quux", "zebra", "giraffe", "walrus", "99887766", "s3cr3t",
        "turbo", str(tmp_path), "/srv",
    )  # fmt: skip
    assert not [word for word in gone if word.lower().encode() in raw.lower()]
    with tarfile.open(out) as archive:
        names = archive.getnames()
        stacks = archive.extractfile("app-prefork-c2/evidence/trial-1/stacks-12118.txt")
        assert stacks is not None
        text = stacks.read().decode()
    assert not [name for name in names if name.endswith((".log", ".py"))]
    assert "_epoll.poll (kombu/utils/eventio.py:83)" in text
    assert "wait (threading.py:320)" in text
    assert "ValueError" in raw.decode(errors="replace")


@pytest.mark.parametrize(("words", "missing"), [(["some-cell", "--run", "nope"], "nope"), (["not/there"], "not/there")])
def test_a_folder_that_is_not_there_is_told_and_not_made(
    words: list[str], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results" / "quick").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=f"there is no folder {missing}$"):
        command.bundle(words[0], run_folder=Path(words[2]) if len(words) > 1 else None)
    assert not (tmp_path / missing).exists()


def test_a_probe_that_has_no_records_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probe").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="there are no records in probe"):
        command.bundle("probe")


def test_a_script_that_is_terminated_ends_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []
    worker, before = object(), {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    cell = {"outcome": "hung", "reason": "", "requests": 1}
    doing = {"options": lambda _: None, "folder": lambda *_: tmp_path, "prepare": lambda *_: None, "command": lambda _: []}
    monkeypatch.setitem(sys.modules, "particulars", SimpleNamespace(**doing))
    monkeypatch.setattr(sys, "argv", ["reproduce.py"])
    for name, does in {
        "read_cell": lambda: cell, "environment": lambda *_: {}, "start_worker": lambda *_: worker, "stop": ended.append,
        "wait_ready": lambda *_: os.kill(os.getpid(), signal.SIGTERM),
    }.items():  # fmt: skip
        monkeypatch.setattr(reproduce, name, does)
    try:
        assert reproduce.main() == 130  # type: ignore[no-untyped-call]
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert ended == [worker]


def test_an_archive_is_not_overwritten(tmp_path: Path) -> None:
    folder = probe(tmp_path, {"solo": Outcome.ERRORS})
    (tmp_path / "a.tar.gz").write_text("mine")
    with pytest.raises(BadInput, match="is not overwritten"):
        own.make(case(folder, "solo"), tmp_path / "a.tar.gz", source=False, without_names=False)
    assert (tmp_path / "a.tar.gz").read_text() == "mine"


@pytest.mark.parametrize(
    "changes",
    [{"what": ""}, {"app": "shop:app"}, {"with_source": True, "anonymous": True}],
    ids=["nothing", "both", "opposite"],
)
def test_options_that_do_not_go_together_are_refused(changes: dict[str, Any]) -> None:
    fits = {"what": "results/probe", "app": "", "with_source": False, "anonymous": False}
    check_options(**cast(Any, fits))
    with pytest.raises(BadInput) as caught:
        check_options(**cast(Any, {**fits, **changes}))
    assert caught.value.remedy


def test_the_scripts_are_read_by_python_3_7_and_import_nothing_of_ours() -> None:
    texts = [Path(module.__file__ or "").read_text() for module in (reproduce, particulars, message_files)]
    for text in [*texts, application.PARTICULARS]:
        tree = ast.parse(text, feature_version=(3, 7))
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert not [name for name in imported if name.startswith("harness")]


def test_a_message_and_a_result_in_files_are_whole_before_they_can_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("REPRODUCE_FOLDER", str(tmp_path))
    monkeypatch.setattr(Channel, "_put", Channel._put)  # put back afterwards, as is `set`
    monkeypatch.setattr(FilesystemBackend, "set", FilesystemBackend.set)
    before, named = os.replace, []

    def replace(new: str, path: str | bytes) -> None:
        named.append((os.path.exists(path), Path(new).read_text()))
        before(new, path)

    monkeypatch.setattr(os, "replace", replace)
    app = Celery("files", broker="filesystem://", backend=f"file://{tmp_path}/results", set_as_current=False)
    message_files.use(app)  # type: ignore[no-untyped-call]
    with app.connection() as connection, connection.SimpleQueue("asked") as queue:
        queue.put({"row": 1})
        assert queue.get(timeout=10).payload == {"row": 1}
    app.backend.store_result("1", [0.5], "SUCCESS")
    assert app.backend.get_result("1") == [0.5]
    assert not [text for there, text in named if there]
    assert "body" in json.loads(named[0][1])
    assert json.loads(named[-1][1])["result"] == [0.5]


def test_both_kinds_of_archive_have_what_the_script_asks_for() -> None:
    asked = {
        node.attr
        for node in ast.walk(ast.parse(Path(reproduce.__file__).read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("particulars")
    }
    defined = {node.name for node in ast.parse(application.PARTICULARS).body if isinstance(node, ast.FunctionDef)} | {"MATCH"}
    assert asked <= defined
    assert not [name for name in asked if not hasattr(particulars, name)]


def test_variables_of_the_script_lead_to_its_broker_and_a_secret_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OWN_SECRET", "known")
    found = {
        "BROKER_URL": "filesystem://", "RESULT_URL": "file:///r", "RESULT_BACKEND": "redis://prod", "OWN_SECRET": "known",
        "CELERY_WORKER_POOL": "solo",
    }  # fmt: skip
    given = {"MODE": "fast", "TOKEN": "***", "OWN_SECRET": "***", "CELERY_BROKER_URL": "redis://***@prod/0"}
    particulars.complete({"variables": given, "left_out": ["CELERY_WORKER_POOL"]}, "/srv/shop", found)
    assert found["MODE"] == "fast"
    assert found["OWN_SECRET"] == "known"
    assert {found[name] for name in particulars.URLS if "RESULT" not in name} == {"filesystem://"}
    assert found["RESULT_BACKEND"] == found["CELERY_RESULT_BACKEND"] == "file:///r"
    assert "CELERY_WORKER_POOL" not in found
    said = capsys.readouterr().out
    assert "TOKEN is a secret" in said
    assert "OWN_SECRET" not in said


def test_only_the_database_of_this_run_is_emptied_whatever_the_application_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    found, emptied = {"BROKER_URL": "redis://here/15", "RESULT_URL": "redis://here/15"}, list[str]()
    particulars.complete({"variables": {}, "left_out": []}, "/srv/shop", found)

    class Redis:
        def __init__(self, url: str) -> None:
            self.url = url

        from_url = classmethod(lambda kind, url: kind(url))

        def flushdb(self) -> None:
            emptied.append(self.url)

    monkeypatch.setattr("redis.Redis", Redis)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    for name in ("BROKER_URL", "CELERY_BROKER_URL"):  # as a .env file does that is read as the application is imported
        monkeypatch.setenv(name, "redis://prod/0")
    particulars.clean(None)
    assert emptied == ["redis://here/15"]
    assert os.environ["CELERY_BROKER_URL"] == "redis://here/15"


def test_answers_are_compared_with_those_of_calls_without_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(particulars, "EXPECTED", {0: {"a": [1.0, "x"]}})
    assert particulars.is_right({}, 0, {"a": (1.0001, "x")})
    assert not particulars.is_right({}, 0, {"a": [1.1, "x"]})
    assert not particulars.is_right({}, 0, {"a": [1.0]})
    assert not particulars.is_right({}, 0, {})
    assert particulars.is_right({}, 1, "whatever")
    checked = {"check": "result['a'] == [kwargs['n']] and row == 0", "args": [{"n": 2}]}
    assert particulars.is_right(checked, 0, {"a": [2]})
    assert not particulars.is_right(checked, 0, {"a": [3]})
    assert not particulars.is_right(checked, 0, None)


def test_a_project_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    class Asked:
        project = str(tmp_path / "none")

    with pytest.raises(SystemExit, match="name its folder: --project"):
        particulars.folder({"project": "~"}, Asked)
    with pytest.raises(SystemExit, match="only Redis"):
        particulars.check_broker("amqp://host")


def test_the_name_of_an_anonymous_archive_is_its_pool() -> None:
    assert anonymous.name(cell("threads")) == "app-threads-c2"
