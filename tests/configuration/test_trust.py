"""A run folder from a stranger: its options name no code and read no environment, unless that is permitted."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

from smash_lightning.configuration.earlier_run import WHOLE
from smash_lightning.hypernet import load_hypernet
from smash_lightning.python_api import smashv1_tiny
from tests.command_line import TINY, smash
from tests.test_run import DIGITS

EVIL = "from pathlib import Path\nPath('executed').touch()\n\n\ndef call():\n    pass\n"
CODE = "is code outside of this package"
ATTACKS = {
    "another class": ("ranking.batch_norm._target_=evil.call", CODE),
    "another section": ("+baselines.baselines.evil={_target_: evil.call}", CODE),
    "a list": ("+trainer.callbacks=[{_target_: evil.call}]", CODE),
    "a list of lists": ("+retrain.more=[[{_target_: evil.call}]]", CODE),
    "the HyperNet": ("hypernet._target_=evil.Net", CODE),
    "the task": ("task._target_=evil.call", CODE),
    "a library": ("+retrain.more={_target_: torch.load, f: x.pt, weights_only: false}", CODE),
    "a function of the package": ("+retrain.more={_target_: smash_lightning.cli.main}", CODE),
    "a module in the package": ("+retrain.more={_target_: smash_lightning.cli.os.system}", CODE),
    "an interpolation": ("+retrain.more={name: evil.call, _target_: '${retrain.more.name}'}", CODE),
    "the environment": ("dataset.name='${oc.env:SECRET}'", "could read or run anything"),
    "a resolver within another": ("dataset.name='${oc.select:a,${oc.env:SECRET}}'", "could read or run anything"),
    "a resolver by another name": ("dataset.name='${${task.name}:SECRET}'", "could read or run anything"),
    "a cluster": ("+engine.address=evil.org:6379", "could read or run anything"),
    "a server": ("+retrain.uri=https://evil.org", "could read or run anything"),
    "Hydra": ("hydra.searchpath=[file://elsewhere]", "could read or run anything"),
    "Hydra's group": ("hydra/launcher=joblib", "could read or run anything"),
    "another folder": ("+experiment=../../../stranger/evil", CODE),
}


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder next to a module that shows whether it was imported."""
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    (tmp_path / "evil.py").write_text(EVIL)
    folder = tmp_path / "stranger"
    folder.mkdir()
    (folder / "evil.yaml").write_text("# @package _global_\ndataset: {name: {_target_: evil.call}}\n")
    return folder


def write_config(folder: Path, *overrides: str) -> None:
    whole = {name: {} for name in WHOLE} | {"overrides": [*TINY, *overrides], "source_run": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(whole))


@pytest.mark.parametrize("attack", ATTACKS)
def test_options_of_a_stranger_run_nothing(stranger: Path, attack: str) -> None:
    override, reason = ATTACKS[attack]
    write_config(stranger, override)
    ended = smash(stranger.parent, f"resume={stranger}")
    assert ended.error is not None
    if attack != "another folder":  # Hydra may refuse it first
        assert reason in ended.error, ended.error
        assert "trust=true" in ended.error
    assert not (stranger.parent / "executed").exists()
    assert "hunter2" not in ended.error + ended.out


@pytest.mark.parametrize("trust", ["trust=true", "ranking.batch_norm._target_=evil.call"])
def test_the_command_line_may_trust(stranger: Path, trust: str) -> None:
    write_config(stranger, "ranking.batch_norm._target_=evil.call", "trust=false")
    assert smash(stranger.parent, "task=rank", "logger=none", f"checkpoint={stranger}", trust).error
    assert (stranger.parent / "executed").exists()


def test_trust_in_the_earlier_run_has_no_effect(stranger: Path) -> None:
    write_config(stranger, "ranking.batch_norm._target_=evil.call", "trust=true")
    assert CODE in smash(stranger.parent, "task=rank", f"checkpoint={stranger}").error
    assert not (stranger.parent / "executed").exists()


def test_a_checkpoint_of_a_stranger_imports_nothing(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(stranger.parent)
    space, data = smashv1_tiny(DIGITS.image_spec), DIGITS.specification()
    saved = {"search_space": space.specification(), "data": data, "hypernet": {"target": "evil.Net", "options": {}}}
    torch.save({"smash": saved}, stranger / "evil.ckpt")
    with pytest.raises(ValueError, match=r"evil.ckpt names evil.Net, .* hypernet._target_=evil.Net"):
        load_hypernet(stranger / "evil.ckpt", space, data)
    assert "evil" not in sys.modules
