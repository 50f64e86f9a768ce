"""asv over a throw-away repository: suites and graphs, a slow-down and a hang that are flagged, and no process left behind.

The repository is this checkout with a small experiment. Dependencies are those that are installed here, so that
asv's environments hold the commit alone.
"""

from __future__ import annotations

import json
import math
import os
import re
import runpy
import shlex
import shutil
import signal
import site
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environments import Environment
from tests.integration.conftest import HARNESS, ROOT, environment_variables
from tests.integration.test_lifecycle import below, has, still_there
from tests.integration.test_probe import PROJECTS
from tests.waiting import wait_until

SUITE = """
name = "asv-quick"
summary = "one null cell"
[settings]
measure_s = 0.5
requests = 30
limit_s = 60.0
noise_limit = 100.0
controls = false
stable_limit_s = 0.2
[[cells]]
backend = ["null"]
environment = ["celery"]
pool = ["solo"]
"""
CELL = "null solo c1 first-task"
PREDICT = re.compile(r"return lambda rows: (.* or )?numpy")
#: gives an environment of asv the packages and programs of this one
DEPENDENCIES = """
import pathlib, sys, sysconfig
packages, programs = map(pathlib.Path, sys.argv[1:])
pathlib.Path(sysconfig.get_path("purelib"), "dependencies.pth").write_text(str(packages))
for name in ("py-spy", "uv"):
    place = pathlib.Path(sysconfig.get_path("scripts"), name)
    if not place.exists():
        place.symlink_to(programs / name)
"""
TRACKS = {
    "Throughput.track_seconds_per_1000", "Latency.track_p50", "Latency.track_p95", "Cost.track_cpu_seconds",
    "Cost.track_peak_bytes", "Start.track_ready", "Outcome.track_code", "Outcome.track_hang_rate",
}  # fmt: skip


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    return subprocess.run(["git", *name, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path, what: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", what)
    return git(folder, "rev-parse", "HEAD")


def slowed(folder: Path, deed: str) -> None:
    """Every predict of the null control does this first."""
    path = folder / "harness" / "backends" / "null.py"
    imports = "import os, threading, time" if "threading" not in path.read_text() else ""
    text, count = PREDICT.subn(f"return lambda rows: {deed} or numpy", path.read_text())
    assert count == 1
    path.write_text(text.replace("import os\n", f"{imports}\n", 1) if imports else text)


class Asv:
    """The throw-away repository and the command line over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.home = folder / "home"
        self.home.mkdir()
        files = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
        for name in files:
            if name.split("/")[0] in ("results", "tests") or not (ROOT / name).exists():
                continue
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes((ROOT / name).read_bytes())
        (self.folder / "benchmarks" / "quick.toml").write_text(SUITE)
        for name in ("full.py", "full.toml"):
            (self.folder / "benchmarks" / name).unlink()
        text = re.sub(r"(?m)^\s*//.*\n", "", (ROOT / "asv.conf.json").read_text())
        conf = json.loads(text)
        packages = next(one for one in site.getsitepackages() if one.endswith("site-packages"))
        (self.folder / "dependencies.py").write_text(DEPENDENCIES)
        conf["pythons"] = [f"{sys.version_info.major}.{sys.version_info.minor}"]
        conf["install_command"] = [
            f"in-dir={{env_dir}} python {{build_dir}}/dependencies.py {packages} {Path(sys.executable).parent}",
            "in-dir={env_dir} uv pip install --quiet --no-deps --reinstall --python {env_dir}/bin/python {build_dir}",
        ]
        (self.folder / "asv.conf.json").write_text(json.dumps(conf))
        git(folder, "init", "--quiet", "--initial-branch", "main", str(self.folder))
        slowed(self.folder, "time.sleep(0.020)")
        self.good = commit(self.folder, "a commit")
        self("machine", "--yes")

    def variables(self) -> dict[str, str]:
        kept = environment_variables()
        del kept["PYTHONPATH"]
        return {**kept, "HOME": str(self.home), "PYTHONNOUSERSITE": "1"}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "asv", *words]

    def __call__(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            self.argv(*words), cwd=self.folder, env=self.variables(), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode in codes, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def asv(tmp_path_factory: pytest.TempPathFactory) -> Asv:
    from harness import environments

    environments.prepare("celery")
    return Asv(tmp_path_factory.mktemp("asv"))


def worsened(told: str) -> set[str]:
    """The benchmarks that asv continuous marks with a plus."""
    return {name for name in TRACKS for line in told.splitlines() if name in line and line.lstrip("| ").startswith(("+", "!"))}


def compared(asv: Asv, before: str, after: str) -> str:
    """What asv says of a commit that it measures now, against one that it has measured."""
    asv("run", "--bench", "quick", f"{after}^!")
    return asv("compare", "--factor", "1.25", before, after)


def published(asv: Asv) -> None:
    """Each figure has a graph, which begins at the first commit."""
    asv("publish")
    html = asv.folder / ".asv" / "html"
    index = json.loads((html / "index.json").read_text())
    assert {name.removeprefix("quick.") for name in index["benchmarks"]} == TRACKS
    for name, known in index["benchmarks"].items():
        assert known["params"] == [[f"'{CELL}'"]]
        assert known["pretty_name"]
        drawn = list(html.glob(f"graphs/**/{name}.json"))
        assert drawn, name
    (graph,) = [path for path in html.glob("graphs/**/quick.Latency.track_p50.json") if "summary" not in str(path)]
    (_, (value,)), *_ = json.loads(graph.read_text())
    assert 0.020 <= value < 20, "in seconds; a full machine takes some more than the sleep"


def test_commits_are_measured_and_published_and_a_slow_one_and_a_hang_are_flagged(asv: Asv) -> None:
    slowed(asv.folder, "time.sleep(0.100)")
    slow = commit(asv.folder, "five times as slow")
    told = asv("continuous", "--bench", "quick", "--factor", "1.25", asv.good, slow, codes=(1,))
    assert worsened(told) >= {"Latency.track_p50", "Throughput.track_seconds_per_1000"}
    assert "Outcome.track_code" not in worsened(told)
    published(asv)
    slowed(asv.folder, "threading.Event().wait()")
    hangs = commit(asv.folder, "never answers")
    told = compared(asv, slow, hangs)
    assert worsened(told) >= {"Outcome.track_code", "Outcome.track_hang_rate"}
    slowed(asv.folder, "time.sleep(0.020)")
    told = compared(asv, hangs, commit(asv.folder, "as before"))
    assert not worsened(told) & {"Outcome.track_code", "Outcome.track_hang_rate"}


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killing_asv_leaves_no_process_of_ours(asv: Asv, sign: signal.Signals) -> None:
    driver = subprocess.Popen(
        asv.argv("run", "--bench", "quick", "HEAD^!"), cwd=asv.folder, env=asv.variables(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    assert wait_until(has(driver, "celery"), limit_s=120.0)
    seen = set(below(driver))
    os.kill(driver.pid, sign)
    driver.wait(60)
    assert not still_there(seen, limit_s=30.0)


def test_every_outcome_has_a_code_of_its_own_and_published_ones_stay(celery_environment: Environment) -> None:
    from benchmarks.cells import MISSING, OUTCOME_CODES
    from harness.records.outcomes import Outcome

    assert set(OUTCOME_CODES) == set(Outcome)
    assert len({*OUTCOME_CODES.values(), MISSING}) == len(OUTCOME_CODES) + 1
    published = ("ok", "skipped", "invalid", "slow", "refused", "stalled", "errors", "respawning", "wrong", "crashed", "hung")
    assert [OUTCOME_CODES[name] for name in published] == list(range(11))
    assert MISSING == 11
    recipe = runpy.run_path(str(RECIPE))
    assert (recipe["OUTCOME_CODES"], recipe["MISSING"]) == (OUTCOME_CODES, MISSING)


RECIPE = ROOT / "recipes" / "asv_serving.py"
SHORT = "--measure-s 0.5 --requests 10 --noise-limit 100 --stable-limit-s 0.5 --no-first-look".split()
#: what asv does with the recipe: it runs it in the environment of a commit, each benchmark for each pool
AS_ASV = """
import json, serving
rows = serving.setup_cache()
tracks = [name for name in dir(serving.Serving) if name.startswith("track_")]
print(json.dumps({pool: {name: getattr(serving.Serving(), name)(rows, pool) for name in tracks} for pool in serving.POOLS}))
"""


def test_the_recipe_serves_somebodys_own_application(celery_environment: Environment, tmp_path: Path) -> None:
    text = RECIPE.read_text()
    for theirs, ours in (
        ("proj.tasks:app", "shop:app"), ("proj.tasks.predict", "shop.price"), ('"threads", "solo"', '"solo"'),
        ('"--repeat", "3"', ", ".join(map('"{}"'.format, SHORT))),
        ('POOLS = ("prefork", "solo")', 'POOLS = ("no-pool-of-that-name-ran", "solo")'),
        ('",".join(POOLS)', '"solo"'),
    ):  # fmt: skip
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, ours)
    (tmp_path / "serving.py").write_text(text)
    (tmp_path / "rows.json").write_text("[[3], [5]]")
    shutil.copy(PROJECTS / "shop" / "shop.py", tmp_path)
    told = subprocess.run(
        [celery_environment.python, "-c", AS_ASV], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True,
        env={**environment_variables(), "HARNESS": shlex.join(HARNESS), "SHOP_FACTOR": "2"},
    )  # fmt: skip
    by_pool = json.loads(told.stdout.splitlines()[-1])
    assert by_pool["solo"]["track_outcome_code"] == 0, told.stdout
    assert 0 < by_pool["solo"]["track_p50"] < by_pool["solo"]["track_seconds_per_1000"], "a thousand take longer than one"
    assert by_pool["solo"]["track_peak_bytes"] > 1e6
    assert by_pool["no-pool-of-that-name-ran"]["track_outcome_code"] == 11
    assert math.isnan(by_pool["no-pool-of-that-name-ran"]["track_p50"])
