"""Files of a run that were cut, changed or come from a stranger: refused in one line that names the file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from smash_lightning import FinishedRun
from smash_lightning.architecture import Architecture, load_architecture
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages.experiment import copy_tables
from tests.command_line import TINY, changed, smash

OP = '{"read":[0],"write":[%s],"units":1,"bottleneck":null,"paths":[[{"kernel":[3,3],"dilation":[1,1]}]]}'
SMALL = '{"format":1,"blocks":[{"width":4,"inputs":1,"ops":[%s]}]}' % (OP % 1)


def changed_text(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


def test_the_small_architecture_is_accepted() -> None:
    assert Architecture.from_json(Architecture.from_json(SMALL).to_json()) == Architecture.from_json(SMALL)


@pytest.mark.parametrize(
    "text",
    [
        *(changed_text('"inputs":1', f'"inputs":{number}') for number in (10**9, 10**3000, "true", "1.0")),
        changed_text('"write":[1]', '"write":[1000000000]'),
        changed_text('"width":4', '"width":1000000000'),
        changed_text('"width":4', '"width":4,"width":8'),
        changed_text('"width":4', f'"width":"{"x" * 10**6}"'),
        changed_text('"read":[0]', f'"read":{[9] * 10**5}'),
        *(changed_text('"format":1', f'"format":{value}') for value in ("true", "1.0", "2")),
        *("[" * 10**5, '{"a":' * 10**5, ""),
    ],
    ids=lambda text: text[:60],
)
def test_an_architecture_of_a_stranger_is_refused_in_a_short_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "stranger.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"stranger\.json") as raised:
        load_architecture(file)
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


@pytest.fixture
def run(tmp_path: Path, tiny_run: FinishedRun) -> RunFolder:
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_an_architecture_that_a_table_has_and_the_file_lacks_is_named(run: RunFolder) -> None:
    run.architectures.write_text("")
    with pytest.raises(ValueError, match=r"architectures.jsonl lacks architecture \w{16}"):
        _ = FinishedRun(run.path).architecture


def test_a_file_of_the_earlier_run_that_is_missing_is_named(run: RunFolder, tmp_path: Path) -> None:
    run.architectures.unlink()
    with pytest.raises(ValueError, match=rf"{run.architectures} is missing, .* restore the file"):
        copy_tables(run, RunFolder(tmp_path))


@pytest.mark.parametrize("name", ["ranking.csv", "retrained.csv", "architectures.jsonl", "data.json", "config.yaml"])
def test_a_text_that_is_not_utf8_is_named(run: RunFolder, name: str) -> None:
    path = run.path / name
    path.write_bytes(b"\xff" + (path.read_bytes() if path.exists() else b""))
    read: Callable[[], object] = run.read_config if name == "config.yaml" else lambda: FinishedRun(run.path)
    with pytest.raises(ValueError, match=rf"cannot read .*{name}: byte 0 is not UTF-8"):
        read()


@pytest.mark.parametrize("text", ["a: &a [1]\nb: *a\n", "[" * 1500, "a: [1,\n", "!!python/object:os.system x"])
def test_a_configuration_that_no_run_writes_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"cannot read .*config.yaml: "):
        RunFolder(tmp_path).read_config()


FIRST = changed(TINY, ["search.epochs=1", "search.hypernets=1", "ranking.fixed=0", "dataset.train=128"])


def test_an_earlier_run_with_a_damaged_configuration_is_refused_and_divergence_ends_the_search(tmp_path: Path) -> None:
    ended = smash(tmp_path, "task=search", *changed(FIRST, ["search.learning_rate=1e30"]), "hydra.run.dir=diverged")
    assert "from step 1 (epoch 0) on the loss is not finite: use a lower search.learning_rate" in ended.error
    assert "Traceback" not in ended.error
    drawn = ended.error.rpartition(" ")[2]
    assert smash(tmp_path, "task=draw", "logger=none", drawn).well
    path = tmp_path / "diverged" / "config.yaml"
    text = path.read_text()
    for damaged in (text[: len(text) // 10], text.replace("learning_rate: 1.0e+30", "learning_rate: 0.1")):
        assert damaged != text
        path.write_text(damaged)
        ended = smash(tmp_path, "task=search", "checkpoint=diverged", "hydra.run.dir=later")
        assert "diverged/config.yaml" in ended.error
        assert not (tmp_path / "later" / "config.yaml").exists()
