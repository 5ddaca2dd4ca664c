from pathlib import Path

import pytest

from smash_lightning.files import atomic_write


@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_is_replaced_only_when_all_is_written(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "table.csv"
    if before is not None:
        path.write_text(before)
    with atomic_write(path) as partial:
        assert partial.parent == path.parent, "to replace is atomic within one file system alone"
        partial.write_text("new")
        assert (path.read_text() if path.exists() else None) == before
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("written", [False, True])
def test_after_a_failure_there_is_only_the_old_file(tmp_path: Path, error: type[BaseException], written: bool) -> None:
    def fail() -> None:
        with atomic_write(path) as partial:
            if written:
                partial.write_text("half")
            raise error("in the midst")

    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(error, match="in the midst"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_concurrent_writes_do_not_interfere(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the outer one ends last"
    assert list(tmp_path.iterdir()) == [path]
