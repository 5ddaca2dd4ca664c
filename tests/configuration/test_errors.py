"""Messages about options that Hydra reads in another way than they were meant."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from smash_lightning import cli
from smash_lightning.configuration.errors import explain
from smash_lightning.engine import Cause, Failure
from tests.command_line import smash

TEXTS = ["a=b", "My Photos (2020)", "x[1]", "{b}", "~/data", "F\u00f6t\u00f6s", "it's", 'say "x"', "back\\slash (1)"]


@pytest.mark.parametrize("text", TEXTS)
def test_the_quoted_form_in_the_message_is_read_as_the_text(text: str) -> None:
    parser = OverridesParser.create()
    with pytest.raises(OverrideParseException) as raised:
        parser.parse_overrides([f"dataset.root={text}"])
    message = explain(raised.value)
    assert message.startswith(f"dataset.root={text} cannot be read")
    (quoted,) = shlex.split(message.partition("needs quotes: ")[2])
    (override,) = parser.parse_overrides([quoted])
    assert (override.key_or_group, override.value()) == ("dataset.root", text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("", "'' cannot be read"),
        ("seed\n1", r"'seed\n1' cannot be read"),
        ("~", ", in ~"),
    ],
)
def test_a_message_names_the_option(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([override, "logger=none", f"hydra.run.dir={tmp_path / 'run'}"])
    assert message in str(ended.value)


def test_lack_of_memory_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    more = ": provide more memory, or another machine, or use fewer workers=N, then "
    failed = Failure("MemoryError: ", "Traceback", Cause.MEMORY)
    for error, start in (
        (MemoryError(), "there is not enough memory"),
        (failed.exception("a job"), "a job: MemoryError"),
    ):
        assert explain(error, tmp_path) == f"{start}{more}repeat the command, or add hydra.run.dir=FOLDER"
    (tmp_path / "config.yaml").touch()
    assert explain(error, tmp_path) == f"{start}{more}continue with resume={tmp_path}"


def test_a_working_folder_that_was_removed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["smash"])
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SystemExit, match="the working folder was removed: change to one that exists"):
        cli.main(["task=draw"])


def test_a_command_that_is_interrupted_before_it_has_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "require_single_process", interrupt)
    assert smash(tmp_path, "task=draw").error == "interrupted; repeat the command"


@pytest.mark.parametrize("form", ["~/run", '"~/run"'])
def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert smash(tmp_path, "task=draw", "task.preset=resnet", "logger=none", f"hydra.run.dir={form}").well
    assert (tmp_path / "home" / "run" / "architecture.svg").exists()
    assert not (tmp_path / "~").exists()
