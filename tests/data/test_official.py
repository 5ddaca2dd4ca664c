from __future__ import annotations

from pathlib import Path

import pytest

from smash_lightning.data.official import find_files, shortfall


def test_files_are_found_in_the_folder_or_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / name).write_bytes(b"")
    assert find_files(str(tmp_path), "set", ("b", "a")) == [folder / "b", folder / "a"]
    assert find_files(str(folder), "set", ("b", "a")) == [folder / "b", folder / "a"]


def test_a_home_folder_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a").write_bytes(b"")
    assert find_files("~", "set", ("a",)) == [tmp_path / "a"]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"^no set in {tmp_path}: say where it lies with dataset\.root=FOLDER"):
        find_files(str(tmp_path), "set", ("a", "b"))
    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match=rf"{tmp_path}/set lacks a and 1 other files: complete it, or remove it"):
        find_files(str(tmp_path), "set", ("a", "b"))
    (tmp_path / "set" / "b").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{tmp_path}/set lacks a: complete it, or remove it"):
        find_files(str(tmp_path), "set", ("a", "b"))


def test_a_set_that_is_not_the_whole_one_is_told() -> None:
    assert shortfall("Set", (5000, 10), (5000, 10)) == ()
    assert shortfall("Set", (820, 10), (5000, 10)) == (
        "820 training images instead of the official 5,000: this is not the whole Set.",
    )
    assert len(shortfall("Set", (820, 11), (5000, 10))) == 2
