"""The folder of a run: its name, its owner, and its lock."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from smash_lightning.configuration import folders
from smash_lightning.configuration.folders import claim, is_slurm_restart, locked, run_folder


def test_names_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    first = run_folder(None, "cpu")
    Path(first).mkdir(parents=True)
    assert run_folder(None, "cpu") != first
    assert run_folder(first, "cpu") == first
    assert run_folder("misspelt", "cpu") != "misspelt"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert run_folder(None, "slurm") == "outputs/slurm-7"
    assert not run_folder(None, "gpu").startswith("outputs/slurm")
    monkeypatch.setenv("SLURM_STEP_ID", "2")
    assert run_folder(None, "slurm") == "outputs/slurm-7-2"


def test_a_restart_by_slurm_continues_what_had_begun(tmp_path: Path) -> None:
    folder, other, config = tmp_path / "slurm-7", tmp_path / "other", OmegaConf.create({"seed": 0, "resume": None})
    for each in (folder, other):
        each.mkdir()
        assert not is_slurm_restart(each, {"SLURM_RESTART_COUNT": "1"})
        claim(each, config)
    assert is_slurm_restart(folder, {"SLURM_RESTART_COUNT": "1"})
    assert not is_slurm_restart(folder, {})
    assert not is_slurm_restart(other, {"SLURM_RESTART_COUNT": "1"})
    with pytest.raises(ValueError, match=f"{folder} already holds a run: continue it with resume={folder}"):
        claim(folder, config)


def test_what_a_killed_process_left_is_removed_and_a_file_of_the_user_is_not(tmp_path: Path) -> None:
    for name in ("config.yaml.0123abcd.partial", "mine.partial"):
        (tmp_path / name).touch()
    claim(tmp_path, OmegaConf.create({"seed": 0, "resume": None}))
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "mine.partial"}


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(tmp_path):
        with pytest.raises(ValueError, match="another process is at work on this run"), locked(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()
    assert not list(tmp_path.iterdir())

    class NoLocks(folders.FileLock):  # type: ignore[misc, unused-ignore]
        def acquire(self, *arguments: object, **options: object) -> object:
            raise NotImplementedError

    monkeypatch.setattr(folders, "FileLock", NoLocks)
    with locked(tmp_path):
        assert not list(tmp_path.iterdir())
