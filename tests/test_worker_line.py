"""A worker's own line, pasted: what is taken over, what is left out, and what is refused."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness.applications.probe import by_settings, command, header, learn, pasted, worker_line
from harness.applications.probe import probe as prober
from harness.applications.probe.learn import Facts
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.pasted import Given
from harness.applications.probe.serving import Serving
from harness.applications.probe.worker_line import FLAGS, VALUED, WorkerLine, parse
from harness.applications.tune import grid
from harness.applications.tune.command import by_cores
from harness.decide.advise import settings
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.pools import POOLS
from harness.records.store import RunFolder
from harness.run.source import Desk
from harness.trial.application import script_of
from harness.worker import own_variables
from tests.test_application_source import ORDER, VALKEY, source
from tests.test_run_loop import NoBroker

APP = Celery("pasted", set_as_current=False)  # for Celery's own command


@pytest.mark.parametrize(
    "text",
    [
        "celery -A proj worker --pool gevent -c 50",
        "celery --app proj worker -P gevent --concurrency 50",
        "celery --app=proj worker --pool=gevent --concurrency=50",
        "celery worker -A proj -Pgevent -c50",
        "celery -Aproj worker -c50 -Pgevent",
        "  celery   -A 'proj' worker\t--pool \"gevent\" -c 50\n",
        "celery -A proj worker \\\n    --pool gevent \\\n    -c 50",
        "$ celery -A proj worker --pool gevent -c 50 &",
        "exec celery -A proj worker --pool gevent -c 50",
        "nohup celery -A proj worker --pool gevent -c 50 &",
        "ExecStart=/usr/bin/env celery -A proj worker --pool gevent -c 50",
        "celery -A proj worker -c 2 --pool gevent -c 50",
        "celery -q -C --skip-checks -A proj worker --without-mingle --pool gevent -c 50",
        '["celery", "-A", "proj", "worker", "--pool", "gevent", "-c", "50"]',
        'CMD ["celery", "-A", "proj", "worker", "--pool", "gevent", "-c", "50"]',
        "command: ['celery', '-A', 'proj', 'worker', '--pool', 'gevent', '-c', '50']",
        "command:\n  - celery\n  - -A\n  - proj\n  - worker\n  - --pool\n  - gevent\n  - -c\n  - '50'\n",
        "command: >-\n  celery -A proj worker\n  --pool gevent -c 50",
        'command: "celery -A proj worker --pool gevent -c 50"',
        "command:\n- /bin/sh\n- -c\n- exec celery -A proj worker --pool gevent -c 50\n",
        '- "celery"\n- "-A"\n- "proj"\n- "worker"\n- "--pool=gevent"\n- "--concurrency=50"',
        "command=celery -A proj worker --pool gevent -c 50 ; of the shop",
        "CMD exec celery -A proj worker --pool gevent -c 50",
        "worker: celery -A proj worker --pool gevent -c 50",
        "command=celery -A proj worker --pool gevent -c 50",
        "sh -c 'exec celery -A proj worker --pool gevent -c 50'",
        '["/bin/bash", "-ec", "set -eu && celery -A proj worker --pool gevent -c 50"]',
        "# the worker\ncelery -A proj worker --pool gevent -c 50  # of the shop",
    ],
)
def test_the_same_worker_is_read_however_it_is_spelt(text: str) -> None:
    found = WorkerLine(app="proj", pool="gevent", names_pool=True, concurrency=50, script="-m celery" not in text)
    assert parse(text) == found


@pytest.mark.parametrize(
    ("text", "python", "folder"),
    [
        ("celery -A p worker", "", ""),
        ("/srv/venv/bin/celery -A p worker", "/srv/venv/bin/python", ""),
        ("venv/bin/celery -A p worker", "venv/bin/python", ""),
        ("python -m celery -A p worker", "python", ""),
        ("/srv/venv/bin/python3.11 -m celery -A p worker", "/srv/venv/bin/python3.11", ""),
        ("pypy3 -m celery -A p worker", "pypy3", ""),
        ("cd /srv/p && celery -A p worker", "", "/srv/p"),
        ("cd /srv && cd p && venv/bin/celery -A p worker", "/srv/p/venv/bin/python", "/srv/p"),
        ("source /srv/venv/bin/activate && celery -A p worker", "/srv/venv/bin/python", ""),
        ("cd /srv/p && . venv/bin/activate && python -m celery -A p worker", "/srv/p/venv/bin/python", "/srv/p"),
        ("celery -A p --workdir /srv/p worker", "", "/srv/p"),
        ("ExecStart=-/srv/venv/bin/celery -A p worker", "/srv/venv/bin/python", ""),
        ("/v/bin/python3.11 /v/bin/celery -A p worker", "/v/bin/python3.11", ""),
        ("/usr/bin/python3 -u -X dev /v/bin/celery -A p worker", "/usr/bin/python3", ""),
        ("python -u -m celery -A p worker", "python", ""),
        ("cd ~/p && ~/venv/bin/celery -A p worker", "~/venv/bin/python", "~/p"),
        ("cd /srv && cd ~/p && venv/bin/celery -A p worker", "~/p/venv/bin/python", "~/p"),
        ("cd /srv && celery -A p --workdir ~/p worker", "", "~/p"),
        ("cd /srv/p\nsource venv/bin/activate\ncelery -A p worker", "/srv/p/venv/bin/python", "/srv/p"),
        ("ExecStart = @/srv/venv/bin/celery -A p worker", "/srv/venv/bin/python", ""),
    ],
)
def test_the_interpreter_is_that_beside_the_program_and_the_folder_that_of_the_line(
    text: str, python: str, folder: str
) -> None:
    found = parse(text)
    assert (found.python, found.folder) == (python, folder)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("celery -A p worker", True),
        ("sudo -u www /srv/venv/bin/celery -A p worker", True),
        ("/v/bin/python3.11 /v/bin/celery -A p worker", True),
        ("python -m celery -A p worker", False),
        ("python -u -m celery -A p worker", False),
        ("python -um celery -A p worker", False),
        ("opentelemetry-instrument --service_name p celery -A p worker", False),  # it puts the folder into PYTHONPATH
        ("nice opentelemetry-instrument celery -A p worker", False),
        ("ddtrace-run celery -A p worker", True),
    ],
)
def test_the_script_and_the_module_are_told_apart_and_a_worker_is_started_as_the_line_does(
    text: str, script: bool, tmp_path: Path
) -> None:
    python = tmp_path / "bin/python"
    order = replace(ORDER, line=parse(text), python=python)
    assert not order.script, "there is no script beside this interpreter"
    script_of(python).parent.mkdir()
    script_of(python).touch()
    assert order.script is script
    started = [str(script_of(python))] if script else [str(python), "-m", "celery"]
    kept = {**header._pasted(order), "arguments": []}
    cell = Cell(backend=OWN_APP, pool="solo", concurrency=1, placement=AS_WRITTEN, call="task", workload="w", traffic="drain")
    setup = settings.of(cell, {"app": "p", "queue": "", "celery": [5, 7], "worker": kept, "python": str(python)})
    assert list(setup.command[: len(started)]) == started


@pytest.mark.parametrize(
    "wrapper",
    [
        "sudo", "sudo -u www -E", "env -u X", "nice -n 5", "tini --", "gosu celery", "watchmedo auto-restart -d . --",
        "ddtrace-run", "newrelic-admin run-program", "ionice -c 3", "exec -a shop", "python -u run.py --",
        "timeout --foreground 9",
    ],
)  # fmt: skip
def test_a_wrapper_is_left_out_and_named(wrapper: str) -> None:
    found = parse(f"A=1 {wrapper} celery -A celery worker -Q celery")
    assert (found.app, found.assigned, found.queues) == ("celery", {"A": "1"}, ["celery"])
    assert len(found.left_out) == 1
    assert found.left_out[0].startswith(f"{wrapper} is left out: ")
    inner = parse(f"{wrapper} sudo -u www env B=2 celery -A p worker")
    assert (inner.assigned, len(inner.left_out)) == ({"B": "2"}, 2)
    assert parse("python -u -O -m celery -A p worker").left_out == ("-O of Python is left out: a trial's worker has it not",)


def test_what_a_file_doubles_stands_there_once() -> None:
    found = parse("ExecStart=/usr/bin/env A=50%% celery -A p worker -n w@%%h -Q a%%b,$$c")
    assert (found.assigned, found.queues) == ({"A": "50%"}, ["a%b", "$c"])
    assert "w@%h" in found.left_out[0]


def test_a_name_that_supervisor_makes_of_its_own_is_left_out() -> None:
    found = parse("command=celery -A p worker -n %(program_name)s_%(process_num)02d -c 4")
    assert (found.concurrency, len(found.left_out)) == (4, 1)
    assert found.left_out[0].startswith("--hostname $program_name_$process_num is left out: ")


def test_the_last_word_on_executors_is_the_worker_s() -> None:
    """By Celery: --autoscale wins over -c, and a worker of `solo` has one whatever it says."""
    assert parse("celery -A p worker --autoscale 8,2 -c 4").concurrency == 8
    assert "--concurrency 4 is left out" in parse("celery -A p worker -c 4 --autoscale 8,2").left_out[0]
    assert parse("celery -A p worker -P solo -c 1").left_out == ()


@pytest.mark.parametrize(
    ("text", "pool", "left_out"),
    [
        ("", "prefork", ""),
        ("-P prefork", "prefork", ""),
        ("-P processes", "prefork", ""),
        ("-P threads", "threads", ""),
        ("-P eventlet", "eventlet", ""),
        ("-P solo", "solo", ""),
        ("--pool-start-method spawn", "prefork-spawn", ""),
        ("--pool prefork --pool-start-method=fork", "prefork", ""),
        ("--pool-start-method forkserver", "prefork", "--pool-start-method forkserver is left out"),
        ("--pool custom", "", "--pool custom is left out"),
        ("--pool proj.pools:Mine", "", "--pool proj.pools:Mine is left out"),
    ],
)
def test_pools_are_called_as_we_call_them(text: str, pool: str, left_out: str) -> None:
    found = parse(f"celery -A p worker {text}")
    assert found.pool == pool
    assert [each.startswith(left_out) for each in found.left_out] == ([True] if left_out else [])


def test_variables_in_front_are_taken_with_their_quotation_marks() -> None:
    found = parse("export A=1 B='two words' && OMP_NUM_THREADS=1 URL='redis://x/0?a=b' EMPTY= env C=3 celery -A p worker")
    assert found.assigned == {
        "A": "1", "B": "two words", "OMP_NUM_THREADS": "1", "URL": "redis://x/0?a=b", "EMPTY": "", "C": "3"
    }  # fmt: skip


KEPT = (
    "--prefetch-multiplier 1 --max-tasks-per-child 100 --max-memory-per-child 200000 --time-limit 300 --soft-time-limit 240.5 "
    "--queues a,b --exclude-queues c --include proj.more --optimization fair --task-events --without-gossip "
    "--without-heartbeat --heartbeat-interval 5 --disable-prefetch"
)


def test_what_is_kept_is_what_celery_reads_from_the_variables() -> None:
    """By Celery itself: its own command, given the variables, has the options as if they stood on the line."""
    from celery.bin.celery import celery
    from celery.bin.worker import worker

    def options(words: list[str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        monkeypatch.setattr(worker, "callback", lambda **given: seen.update(given))
        done = CliRunner().invoke(
            celery, ["-A", "tests.test_worker_line:APP", "worker", *words], env=variables, auto_envvar_prefix="CELERY"
        )
        assert done.exception is None, done.output
        return {name: value for name, value in seen.items() if name not in ("hostname", "pool")}

    found = parse(f"celery -A p worker {KEPT}")
    assert found.arguments == KEPT.split()
    assert found.left_out == ()
    with pytest.MonkeyPatch.context() as patch:
        said, plain, nothing = (
            options(words, given, patch) for words, given in ((found.arguments, {}), ([], found.variables), ([], {}))
        )
    assert plain == said
    assert sum(said[name] != nothing[name] for name in said) == len(found.options)


def test_old_spellings_are_known() -> None:
    found = parse("celery worker -A p --maxtasksperchild=7 --maxmemperchild 100 --events --discard --schedule x")
    assert found.options == {"--max-tasks-per-child": "7", "--max-memory-per-child": "100", "--task-events": ""}
    assert len(found.left_out) == 2


def test_what_cannot_hold_in_a_trial_is_named_with_its_reason() -> None:
    found = parse(
        "celery -b redis://:secret@mq/0 --result-backend redis://:secret@mq/1 -A p worker -BED -l INFO -f w.log "
        "--pidfile=/run/%n.pid -n w1@%h -S state --purge --scheduler x:Y -s beat.db --uid 7 --gid 8 --umask 022 --executable x "
        "--autoscale=10,3"
    )
    assert found.options == {"--task-events": ""}
    assert found.concurrency == 10, "the most that it scales to"
    said = "\n".join(found.left_out)
    for name in (
        "broker", "result-backend", "beat", "detach", "loglevel INFO", "logfile w.log", "pidfile /run/%n.pid", "hostname w1@%h",
        "statedb state", "purge", "scheduler x:Y", "schedule-filename beat.db", "uid 7", "gid 8", "umask 022", "executable x",
        "autoscale 10,3",
    ):  # fmt: skip
        assert f"--{name} is left out: " in said
    assert "secret" not in said


def test_every_option_of_this_celerys_worker_is_known() -> None:
    from celery.bin.celery import celery
    from celery.bin.worker import worker

    names = {name for one in (*celery.params, *worker.params) for name in one.opts} - {"--version"}
    assert names <= worker_line.SPELT.keys()
    flags = {name for one in (*celery.params, *worker.params) if one.is_flag or one.name == "beat" for name in one.opts}  # type: ignore[attr-defined]
    assert {name for name in names if worker_line.SPELT[name] in FLAGS} == flags - {"--version"}


def test_no_option_is_silently_neither_kept_nor_left_out() -> None:
    own = {"--app", "--workdir", "--concurrency", "--pool", "--pool-start-method", "--autoscale"}
    for name in sorted({*VALUED, *FLAGS} - own):
        value = f" {worker_line.CHOICES.get(name, '1')[0]}" if name in VALUED else ""
        found = parse(f"celery -A p worker {name}{value}")
        assert (name in found.options) + bool(found.left_out) + (name in worker_line.OF_NO_MATTER) == 1, name
    left_out = {worker_line.variable(name) for name in own} & own_variables.LEFT_OUT.keys()
    assert left_out == {f"CELERY_WORKER_{name}" for name in ("CONCURRENCY", "POOL", "POOL_START_METHOD", "AUTOSCALE")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no command line"),
        ("   ", "there is no command line"),
        ("celery -A 'p worker", "quotation mark is not closed"),
        ("gunicorn proj.wsgi", "does not begin with celery, but with 'gunicorn'"),
        ("python manage.py celery worker", "does not begin with celery, but with 'python'"),
        ("OMP_NUM_THREADS=1", "does not begin with celery, but with 'nothing'"),
        ("celery -A p", "names no verb of celery"),
        ("celery -A p beat", "calls celery beat"),
        ("celery multi start w1 -A p", "calls celery multi start w1"),
        ("celery -A p worker --pool", "--pool lacks its value"),
        ("celery -A p worker --frob 3", "--frob is no option of celery worker"),
        ("celery -A p worker --beat=yes", "--beat takes no value"),
        ("celery -A p worker -c many", "-c 'many' is no number"),
        ("celery -A p worker -c 0", "'0' is no number of executors"),
        ("celery -A p worker -c 2.5", "'2.5' is no number of executors"),
        ("celery -A p worker --prefetch-multiplier=x", "--prefetch-multiplier 'x' is no whole number"),
        ("celery -A p worker --max-tasks-per-child 1.5", "--max-tasks-per-child '1.5' is no whole number"),
        ("celery -A p worker --autoscale 8,", "--autoscale '8,' is no number of executors, or two"),
        ("celery -A p worker -O quick", "-O 'quick' is not default or fair"),
        ("celery multi start 2 -A p -c:1 3", "calls celery multi start 2"),
        ("celery -A p worker extra", "the line holds 'extra', which is no option"),
        ("celery -A p worker \u2013c 4", "begins with a dash that is no hyphen"),
        ("[celeryd: celery@h:MainProcess] -active- (-A p worker)", "no command line, but the name"),
        ("[Service]\nExecStart=celery -A p worker", "that is a whole unit"),
        ("[celery, -A, p, worker]", "begins as an array of JSON, and is none"),
        ("cd $HOME/p && celery -A p worker", r"nobody has filled in the \$ of cd"),
        (". .env && celery -A p worker", r"'. .env' is not understood"),
        ("ExecStart=celery -A p worker -Q a%b", "nobody has filled in %b of -Q"),
        ("sudo -u www gunicorn proj.wsgi", "does not begin with celery, but with 'gunicorn'"),
        ("celery -A $APP worker", r"nobody has filled in \$APP of -A"),
        ("celery -A ${APP} worker", r"nobody has filled in \$\{APP of -A"),
        ("celery -A p worker -Q %i", "nobody has filled in %i of -Q"),
        ("celery -A p worker --help", "the line holds --help"),
        ("command=%(ENV_VENV)s/bin/celery -A p worker", r"nobody has filled in the \$ of celery: \$ENV_VENV/bin/celery"),
        ("command=celery -A p worker -c %(ENV_C)s", r"nobody has filled in \$ENV_C of -c"),
        ("celery --version", "the line holds --version"),
        ("celery -A p worker > w.log 2>&1", "the line holds '>'"),
        ("celery -A p worker -c $(nproc)", r"a command in it, as \$\(nproc\)"),
        ("DB_PASSWORD=`pass show db` celery -A p worker", "and no shell fills that in"),
        ("celery -A p worker | tee w.log", r"the line holds '\|'"),
        ("celery -A p worker; echo done", "the line holds ';'"),
        ("celery -A p worker &&", "there is no command line"),
        ("ulimit -n 9 && celery -A p worker", "'ulimit -n 9' is not understood"),
    ],
)
def test_a_line_that_is_none_is_refused_and_shown_how(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"--worker: .*{said}") as raised:
        parse(text)
    assert raised.value.remedy


def test_an_option_that_is_misspelt_is_shown_as_it_is_spelt() -> None:
    with pytest.raises(BadInput) as raised:
        parse("celery -A p worker --queue ml")
    assert "--queues" in (raised.value.remedy or "")
    with pytest.raises(BadInput) as raised:
        parse("celery -A p worker --frobnicate 3")
    assert "leave it out" in (raised.value.remedy or "")


WORDS = (*VALUED, *FLAGS, "celery", "worker", "-A", "p", "-c", "2", "&&", "=", "'")


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
def test_whatever_is_pasted_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert parse(text).concurrency != 0


# What becomes of the options of the verb


def test_the_line_fills_in_what_no_option_says() -> None:
    line = parse("cd /srv/p && venv/bin/celery -A p worker -P gevent -c 50")
    found = pasted.completed(Given(), line, 4)
    assert (found.app, found.python, found.cwd) == ("p", "/srv/p/venv/bin/python", Path("/srv/p"))
    assert (found.concurrency, found.traffic) == ("50", "closed-50")
    asked = Given(app="q", python="/x/python", cwd=Path("/elsewhere"), concurrency="2,8", traffic="drain")
    assert pasted.completed(asked, line, 4) == asked


def test_a_relative_interpreter_lies_below_the_folder_and_one_by_name_on_path() -> None:
    line = parse("venv/bin/celery -A p worker")
    assert pasted.completed(Given(cwd=Path("/srv/p")), line, 4).python == "/srv/p/venv/bin/python"
    inside = parse("cd src && bin/celery -A p worker")
    assert pasted.completed(Given(), inside, 4).python == "src/bin/python"
    assert pasted.completed(Given(cwd=Path("/srv/src")), inside, 4).python == "/srv/src/bin/python"
    outside = parse(". venv/bin/activate && cd src && celery -A p worker")
    assert pasted.completed(Given(), outside, 4).python == str(Path("venv/bin/python").absolute())
    assert pasted.completed(Given(cwd=Path("/srv/p")), parse("python3 -m celery -A p worker"), 4).python == "python3"
    assert pasted.completed(Given(), parse("celery -A p worker"), 4).python == "python"


def test_without_a_concurrency_it_is_as_many_as_cores_as_celery_has_it() -> None:
    line = parse("celery -A p worker")
    whole = pasted.completed(Given(), line, 6)
    assert (whole.concurrency, whole.traffic) == ("6", "closed-6")
    said = pasted.said(line, Given(), whole)[0]
    assert said == (
        "worker line: p, the pool of its settings first and the other pools beside it, as many executors as its settings say, "
        "or as this machine has cores"
    )
    assert ", the pool of its settings, as many" in pasted.said(line, Given(one_pool=True), whole)[0]
    assert "the pool" not in pasted.said(line, Given(pools="solo"), whole)[0]


def test_without_a_line_all_is_as_usual_and_an_application_has_to_be_named() -> None:
    whole = Given(app="p").whole
    assert (whole.concurrency, whole.traffic, whole.python) == ("2", "closed-4", "python")
    with pytest.raises(BadInput, match="no application is named") as raised:
        _ = Given().whole
    assert "--worker" in raised.value.remedy


def test_what_became_of_the_line_is_said() -> None:
    line = parse("HOME_DIR=$HOME/x celery -A p worker -P gevent -c 50 --prefetch-multiplier 1 --detach")
    whole = pasted.completed(Given(), line, 2)
    assert pasted.said(line, Given(), whole) == [
        "worker line: p, gevent first and the other pools beside it, 50 executors; requests are sent as closed-50",
        "worker line: kept in each pool: --prefetch-multiplier 1",
        "worker line: variables of it: HOME_DIR",
        "worker line: HOME_DIR holds a $, which no shell fills in here: it is taken as it stands",
        "worker line: --detach is left out: the trial watches the worker",
        "worker line: prefork gets 50 processes, each with memory of its own: --pools leaves it out",
    ]
    assert "prefork gets" not in "\n".join(pasted.said(line, Given(pools="gevent"), whole))
    line = parse("celery -A p worker --config p.config -Q images")
    said = pasted.said(line, Given(), pasted.completed(Given(), line, 2))
    assert said[1] == "worker line: kept in each pool: --config p.config --queues images"


def test_a_check_says_what_of_the_line_is_nothing_to_it() -> None:
    line = parse("uv run celery -A p worker -P threads -c 3 -Q images -I more -l info --detach")
    assert pasted.of_check(line) == [
        "worker line: uv run chooses an interpreter: name that one by --python",
        "worker line: left out, for a check starts no worker: --concurrency 3, --queues images, --loglevel info, --detach",
    ]
    assert pasted.of_check(parse("celery -A p worker")) == []


@pytest.mark.parametrize(("text", "pool"), [("", ""), ("-P prefork", ""), ("-P threads", "threads"), ("-P custom", "")])
def test_a_pool_of_the_line_wins_over_the_settings_but_for_celery_s_default(text: str, pool: str) -> None:
    assert pasted.pool_that_wins(parse(f"celery -A p worker {text}")) == pool
    assert pasted.pool_that_wins(None) == ""


def test_what_a_search_says_itself_is_not_told_as_kept() -> None:
    line = parse("celery -A p worker --prefetch-multiplier 2 --max-tasks-per-child 9 -O fair")
    whole = pasted.completed(Given(), line, 2)
    assert pasted.said(line, Given(), whole, grid.searched("1,4", "0,100"))[0].startswith("worker line: p, all pools, ")
    assert pasted.said(line, Given(), whole, grid.searched("1,4", "0,100"))[1:] == [
        "worker line: kept in each pool: --optimization fair",
        "worker line: --prefetch-multiplier 2 is left out: --prefetch says it",
        "worker line: --max-tasks-per-child 9 holds where --max-tasks says 0",
    ]
    assert "kept in each pool: --prefetch-multiplier 2 " in pasted.said(line, Given(), whole, grid.searched("", "100"))[1]


def test_a_line_of_very_many_greenlets_brings_no_such_number_of_processes(tmp_path: Path) -> None:
    line = parse("celery -A p worker -P gevent -c 1000")
    whole = pasted.completed(Given(), line, 2)
    assert pasted.said(line, Given(), whole)[-1] == (
        "worker line: pools of processes are left out, for they would start 1000: --pools prefork runs one"
    )
    assert pasted.tried(tuple(POOLS), line, (1000,)) == ("gevent", "threads", "eventlet", "solo")
    assert set(pasted.tried(tuple(POOLS), line, (50,))) == set(POOLS)
    assert set(pasted.tried(tuple(POOLS), parse("celery -A p worker -c 1000"), (1000,))) == set(POOLS)  # its own pool
    assert prober.witnesses((1000,)) == prober.MOST_WITNESSES


def test_solo_has_one_executor_whatever_the_line_says() -> None:
    line = parse("celery -A p worker -P solo -c 50")
    assert line.left_out == ("--concurrency 50 is left out: solo has one executor, whatever it says",)
    given = Given(pools="solo")
    whole = pasted.completed(given, line, 2)
    assert (whole.concurrency, whole.traffic) == ("2", "closed-4")
    assert pasted.said(line, given, whole)[0] == "worker line: p, 1 executor; requests are sent as closed-4"


@pytest.mark.parametrize(
    "text", ["celery -A p worker --autoscale ²", "celery -A p worker -n x ;;", "celery -A p worker |& cat"]
)
def test_what_no_shell_and_no_celery_would_take_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


def read(text: str, tmp_path: Path, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "app": "", "task": "p.predict", "args": None, "python": "python3", "env_file": None, "cwd": tmp_path, "pools": "",
        "concurrency": "", "queue": "", "check": "", "tolerance": 0.1, "traffic": "", "settings": Settings(), "out": tmp_path,
        "fresh": False, "retry": "", "worker": text, **changes,
    }  # fmt: skip
    return command.read(**asked)


@pytest.mark.parametrize("budget_s", [None, 60.0])
def test_the_pasted_pool_is_measured_first_and_every_other_one_beside_it(budget_s: float | None, tmp_path: Path) -> None:
    found = read("celery -A p worker -P eventlet", tmp_path, budget_s=budget_s)
    assert found.pools[0] == "eventlet"
    assert set(found.pools) == set(POOLS)
    assert read("celery -A p worker -P eventlet", tmp_path, pools="solo,threads").pools == ("solo", "threads")


TOLD = {"pool": "threads", "concurrency": "3"}


def test_what_the_line_leaves_open_is_taken_from_the_settings(tmp_path: Path) -> None:
    found, said = by_settings.settled(read("celery -A p worker", tmp_path), TOLD)
    assert (found.pools[0], set(found.pools), found.concurrency, found.traffic) == ("threads", set(POOLS), (3,), "closed-4")
    assert said == "worker line: threads first, 3 executors, as the settings say; requests are sent as closed-4"
    many, _ = by_settings.settled(read("celery -A p worker", tmp_path), {**TOLD, "concurrency": "1000"})
    assert (many.traffic, "prefork" in many.pools) == ("closed-1000", False)
    cores, said = by_settings.settled(read("celery -A p worker", tmp_path), {"pool": "prefork", "concurrency": ""})
    assert cores.concurrency == (os.cpu_count(),)
    assert "as many as this machine has cores" in said
    one, said = by_settings.settled(read("celery -A p worker -c 5", tmp_path, one_pool=True), TOLD)
    assert (one.pools, one.concurrency, said) == (("threads",), (5,), "worker line: threads; requests are sent as closed-5")


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("celery -A p worker -P gevent -c 5", {}),
        ("celery -A p worker", {"pools": "solo", "concurrency": "2"}),
        ("", {"app": "p"}),
    ],
)
def test_what_an_option_or_the_line_says_is_not_taken_from_the_settings(
    text: str, changes: dict[str, str], tmp_path: Path
) -> None:
    order = read(text, tmp_path, **changes)
    assert by_settings.settled(order, TOLD) == (order, "")


def test_a_verb_of_one_pool_runs_the_line_s_alone(tmp_path: Path) -> None:
    assert read("celery -A p worker -P eventlet", tmp_path, one_pool=True).pools == ("eventlet",)
    assert "beside" not in read("celery -A p worker", tmp_path, one_pool=True).pasted[0]


def test_a_pool_is_named_by_the_line_itself_or_by_nobody() -> None:
    assert [pasted.pool(text) for text in ("", "celery -A p worker", "celery -A p worker -P threads")] == ["", "", "threads"]
    assert pasted.pool("celery -A p worker -P custom") == ""


def test_a_search_tries_the_line_s_number_of_executors_beside_the_usual_ones() -> None:
    assert "50" in by_cores("celery -A p worker -P gevent -c 50").split(",")
    assert by_cores("celery -A p worker") == by_cores()


def test_what_a_search_has_varied_stands_once_in_what_is_to_be_pasted() -> None:
    cell = Cell(backend="app", pool="prefork", concurrency=2, workload="p.predict", prefetch=4, max_tasks=100)
    known = {
        "app": "p", "queue": "", "varied": ["prefetch", "max_tasks"],
        "worker": {"arguments": ["--prefetch-multiplier", "1", "--without-gossip", "--max-tasks-per-child", "9", "-O", "fair"]},
    }  # fmt: skip
    words = settings.of(cell, known).command
    assert [words[words.index(each) + 1] for each in ("--prefetch-multiplier", "--max-tasks-per-child")] == ["4", "100"]
    assert {words.count(each) for each in ("--prefetch-multiplier", "--max-tasks-per-child", "--without-gossip", "-O")} == {1}


def test_variables_of_the_line_win_over_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("MODE=slow\nOTHER=1\n")
    found = read("MODE=fast celery -A p worker --max-tasks-per-child 9", tmp_path, env_file=tmp_path / "env")
    assert found.own == {"MODE": "fast", "OTHER": "1", "CELERY_WORKER_MAX_TASKS_PER_CHILD": "9"}
    assert found.own.items() <= found.variables.items()


def test_advice_has_what_was_kept_of_the_line_and_no_secret() -> None:
    line = parse("OMP_NUM_THREADS=1 DB_PASSWORD=hunter2 celery --config proj.conf -A p worker -Q a,b --prefetch-multiplier 1")
    kept = header._pasted(replace(ORDER, line=line))
    assert kept["variables"] == {"OMP_NUM_THREADS": "1", "DB_PASSWORD": "***", "CONFIG_MODULE": "proj.conf"}
    cell = Cell(
        backend=OWN_APP, pool="threads", concurrency=3, placement=AS_WRITTEN, call="task", workload="w", traffic="drain"
    )
    setup = settings.of(cell, {"app": "p", "queue": "", "celery": [5, 7], "worker": kept})
    assert setup.line.startswith("celery --app p worker --pool threads --concurrency 3 --queues a,b --prefetch-multiplier 1 ")
    assert setup.environment["OMP_NUM_THREADS"] == "1"
    assert header._pasted(replace(ORDER, line=line, queue="b"))["arguments"] == ["--prefetch-multiplier", "1"]
    assert header._pasted(ORDER) == {}


@pytest.mark.parametrize(
    ("text", "queue", "celery", "sent"),
    [
        ("-Q images,mail", "", "5.7.0", ["", "images"]),
        ("-Q images,mail", "", "4.4.7", [""]),  # it reads no variables, so its worker does not consume them
        ("-Q mail,celery", "", "5.7.0", [""]),
        ("-Q images", "celery", "5.7.0", ["celery"]),
        ("", "", "5.7.0", [""]),
    ],
)
def test_requests_are_sent_to_a_queue_that_the_pasted_worker_consumes(
    text: str, queue: str, celery: str, sent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    said: list[str] = []

    def facts(order: ProbeOrder, *_: object) -> tuple[Facts, Serving]:
        asked.append(order.queue)
        told = {"celery": celery, "said": [], "files": ["p.py"], "key_prefix": ""}
        return Facts(told=told, queue_keys=(f"{order.queue or 'celery'}\x06\x163",), messages=[]), VALKEY

    monkeypatch.setattr(learn, "facts", facts)
    desk = Desk(
        folder=RunFolder(tmp_path), scratch=tmp_path, server=NoBroker(), settings=Settings(), say=said.append,  # type: ignore[arg-type]
        interrupted=lambda: False,
    )  # fmt: skip
    order = replace(ORDER, queue=queue, line=parse(f"celery -A p worker {text}"))
    found, _ = prober._asked(order, source(order).application, desk)
    assert asked == sent
    assert found.queue_keys[0].startswith(sent[-1] or "celery")
    assert any("requests are sent to 'images'" in line for line in said) == (len(sent) > 1)
    assert any("Celery 4.4.7 reads options from the line alone" in line for line in said) == (celery == "4.4.7")
