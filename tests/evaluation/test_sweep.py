"""The jobs in a sweep's folder."""

from pathlib import Path

import pytest

from smash_lightning.evaluation.sweep import read_jobs, varied
from smash_lightning.run_folder import RunFolder, job_folders


def begun(folder: Path, *overrides: str) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\noverrides:\n" + "".join(f"- {o}\n" for o in overrides))


def test_jobs_are_the_numbered_folders_by_number(tmp_path: Path) -> None:
    for name in ("10", "9", "0", ".submitit", "report"):
        (tmp_path / name).mkdir()
    (tmp_path / "1").touch()
    assert [path.name for path in job_folders(tmp_path)] == ["0", "9", "10"]
    assert [(job.name, dict(job.config)) for job in read_jobs(tmp_path)] == [("0", {}), ("9", {}), ("10", {})]


def test_a_run_is_no_sweep_whatever_lies_in_it(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    (tmp_path / "run" / "0").mkdir()
    assert job_folders(tmp_path / "run") == []
    for folder in (tmp_path / "run", tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"is no sweep: it holds no numbered folders"):
            read_jobs(folder)


def test_of_two_overrides_the_later_counts_and_numbers_are_numbers(tmp_path: Path) -> None:
    given = ["seed=1", "hypernet.width=32", "hypernet.width=64", "+ranking.x=1e-3", "search.betas=[0.5,0.9]", "a=b=c"]
    begun(tmp_path / "0", *given, "hydra/launcher=joblib", "hydra.sweep.dir=x", "dataset=digits")
    (job,) = read_jobs(tmp_path)
    assert job.options == {
        "seed": 1,
        "hypernet.width": 64,
        "ranking.x": 0.001,
        "search.betas": "[0.5,0.9]",
        "a": "b=c",
        "dataset": "digits",
    }


def test_what_varies_is_what_differs_or_lacks(tmp_path: Path) -> None:
    begun(tmp_path / "0", "task=rank", "hypernet.width=1", "seed=0")
    begun(tmp_path / "1", "task=rank", "hypernet.width=2", "seed=0", "search.epochs=3")
    assert varied(read_jobs(tmp_path)) == ["hypernet.width", "search.epochs"]
    assert varied(read_jobs(tmp_path)[:1]) == []


def test_a_file_without_a_configuration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("- a\n")
    with pytest.raises(ValueError, match=rf"^{path} holds no configuration.*$"):
        RunFolder(tmp_path).read_config()
