"""Reading experiments: the shipped ones are right, and nonsense is refused with a word that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import environments, workloads
from harness.errors import BadInput
from harness.experiment import experiment

BACKENDS = ["tensorflow2", "theano"]
GOOD = """
name = "mine"
summary = "one cell"
[[cells]]
backend = ["theano"]
pool = ["solo"]
"""


def read(text: str, folder: Path) -> experiment.Experiment:
    path = folder / "mine.toml"
    path.write_text(text)
    return experiment.read(str(path), backends=BACKENDS, workloads=["digits-cnn"])


@pytest.mark.parametrize("name", experiment.names())
def test_shipped_experiments_are_valid(name: str) -> None:
    spec = experiment.read(name, backends=list(environments.descriptions()), workloads=list(workloads.NAMES))
    assert spec.name == name
    assert spec.expand()


def test_a_small_file_is_read(tmp_path: Path) -> None:
    assert [cell.id for cell in read(GOOD, tmp_path).expand()] == ["theano-solo-c1-first-task-predict"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("summary", "summery"), "summery: unknown key"),
        (('["solo"]', '["sol"]'), "'sol' is not one of"),
        (('["theano"]', '["caffe"]'), "unknown backend 'caffe'"),
        (('["solo"]', '["solo"]\nworkload = ["mnist"]'), "unknown workload 'mnist'"),
        (('["solo"]', '["solo"]\ntraffic = ["closed-0"]'), "unknown traffic 'closed-0'"),
        (('["solo"]', '["solo"]\nconcurrency = [0]'), "greater than or equal to 1"),
        (('["solo"]', '["solo"]\nengine_threads = ["2"]'), "engine_threads"),
        (('["solo"]', '["solo"'), "cannot be read as TOML"),
        (('["theano"]', '["null"]'), "needs an environment"),
        (('["solo"]', '["solo"]\nenvironment = ["nope"]'), "unknown environment 'nope'"),
        (('["solo"]', '["solo"]\nfault = ["sleep:abc"]'), "fault"),
        (("[[cells]]", "[settings]\nmeasure_s = -1\n[[cells]]"), "settings.measure_s"),
    ],
)
def test_nonsense_is_refused_with_the_place_and_the_reason(change: tuple[str, str], word: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read(GOOD.replace(*change), tmp_path)
    assert word in caught.value.message
    assert caught.value.remedy


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(BadInput) as caught:
        experiment.read("nonsense", backends=BACKENDS, workloads=[])
    assert "quick" in caught.value.remedy
