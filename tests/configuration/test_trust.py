"""A run folder from a stranger: its options name no code and read no environment, unless that is permitted."""

import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from smash_lightning.checkpoint import AtomicCheckpointIO, load_checkpoint
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
    "arguments": ("+retrain.more={_target_: smash_lightning.strategies.Random, _args_: [{_target_: evil.call}]}", CODE),
    "a partial": ("+retrain.more={_target_: evil.call, _partial_: true, _recursive_: false}", CODE),
    "deep inside": ("+evaluation.more={a: {b: [1, {c: [[{_target_: evil.call}]]}]}}", CODE),
    "a builtin": ("+retrain.more={_target_: builtins.eval, _args_: [1]}", CODE),
    "an interpolation": ("+retrain.more={name: evil.call, _target_: '${retrain.more.name}'}", CODE),
    "the environment": ("dataset.name='${oc.env:SECRET}'", "could read or run anything"),
    "a file by a resolver": ("dataset.name='${oc.decode:${run_folder:x,y}}'", "could read or run anything"),
    "a resolver within another": ("dataset.name='${oc.select:a,${oc.env:SECRET}}'", "could read or run anything"),
    "a resolver by another name": ("dataset.name='${${task.name}:SECRET}'", "could read or run anything"),
    "a cluster": ("+engine.address=evil.org:6379", "could read or run anything"),
    "a server": ("+retrain.uri=https://evil.org", "could read or run anything"),
    "Hydra": ("hydra.searchpath=[file://elsewhere]", "could read or run anything"),
    "Hydra's callbacks": ("+hydra.callbacks.evil={_target_: evil.call}", "could read or run anything"),
    "Hydra's logging": ("hydra.job_logging.handlers.x.class=evil.call", "could read or run anything"),
    "Hydra's folder": ("hydra.run.dir=/tmp/elsewhere", "could read or run anything"),
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


def test_a_link_in_a_run_that_is_continued_is_not_written_through(stranger: Path) -> None:
    (outside := stranger.parent / "mine").write_text("precious")
    folder = stranger.parent / "begun"
    assert smash(stranger.parent, *TINY, "task=draw", "task.preset=resnet", f"hydra.run.dir={folder}").well
    for name in (".lock", "architectures.jsonl", "checkpoints"):
        (folder / name).symlink_to(outside)
        assert f"begun/{name} is a link to" in smash(stranger.parent, f"resume={folder}").error
        assert outside.read_text() == "precious"
        (folder / name).unlink()
    (folder / name).symlink_to(folder / "result.json")
    assert "is a link" not in str(smash(stranger.parent, f"resume={folder}").error)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import evil",)


@pytest.mark.parametrize("attack", ["a pickle", "a bomb", "not an archive"])
def test_a_checkpoint_of_a_stranger_runs_nothing_and_is_no_larger_than_its_file(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    monkeypatch.syspath_prepend(stranger.parent)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # which the user may have set for other programs
    path = stranger / "evil.ckpt"
    content = Evil() if attack != "a bomb" else torch.zeros(10**6)
    torch.save({"state_dict": content, "smash": content}, path, _use_new_zipfile_serialization=attack[0] == "a")
    if attack == "a bomb":
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(stranger / "small", "w", zipfile.ZIP_DEFLATED) as small:
            for name in archive.namelist():
                small.writestr(name, archive.read(name))
        (stranger / "small").replace(path)
    for load in (lambda: load_checkpoint(path, "smash"), lambda: AtomicCheckpointIO().load_checkpoint(path)):
        with pytest.raises(ValueError, match=r"evil.ckpt is not a readable checkpoint"):
            load()
    assert "evil" not in sys.modules


def test_a_checkpoint_of_a_stranger_imports_nothing(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(stranger.parent)
    space, data = smashv1_tiny(DIGITS.image_spec), DIGITS.specification()
    saved = {"search_space": space.specification(), "data": data, "hypernet": {"target": "evil.Net", "options": {}}}
    torch.save({"smash": saved}, stranger / "evil.ckpt")
    with pytest.raises(ValueError, match=r"evil.ckpt names evil.Net, .* hypernet._target_=evil.Net"):
        load_hypernet(stranger / "evil.ckpt", space, data)
    assert "evil" not in sys.modules
