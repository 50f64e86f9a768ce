"""Variants of environments: what their names say, what they require, and which cells may use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.environments import described, find, name_of, pins_of
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.run import plan
from tests.test_experiment import GOOD, read


def test_a_variant_requires_the_same_but_for_its_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    base, variant = described("tensorflow1"), described("tensorflow1+celery==5.1.2+Gevent==21.12.0")
    assert set(variant.requires) - set(base.requires) == {"celery==5.1.2", "gevent==21.12.0"}
    assert set(base.requires) - set(variant.requires) == {"celery==5.2.7", "gevent==22.10.2"}
    assert (variant.calls, variant.env, variant.python) == (base.calls, base.env, base.python)
    assert variant.seed == base.lock
    assert find(variant.name) is None


@pytest.mark.parametrize("name", ["celery+celery", "celery+celery=5.4", "celery+", "celery+../x==1", "celery+celery==x"])
def test_a_name_that_is_no_variant_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="package==version"):
        described(name)
    with pytest.raises(BadInput, match="no environment"):
        described("nonsense+celery==5.4.0")


def test_what_a_cell_may_be_depends_on_the_variants_celery() -> None:
    cell = Cell(backend="null", environment="celery+celery==5.4.0", pool="prefork-spawn")
    assert "came with 5.7" in plan.why_skipped(cell)
    assert pins_of(name_of(name_of("celery", "celery", "5.4.0"), "Gevent", "25.4.1")) == {"celery": "5.4.0", "gevent": "25.4.1"}


def test_an_experiment_may_name_a_variant_of_the_backends_own_environment(tmp_path: Path) -> None:
    own = read(GOOD.replace('["solo"]', '["solo"]\nenvironment = ["theano+celery==5.5.2"]'), tmp_path)
    assert [cell.venv for cell in own.expand()] == ["theano+celery==5.5.2"]
    with pytest.raises(BadInput, match="cannot run in environment"):
        read(GOOD.replace('["solo"]', '["solo"]\nenvironment = ["tensorflow2"]'), tmp_path)
