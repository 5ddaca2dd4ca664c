from contextlib import nullcontext
from pathlib import Path

import pytest

from smash_lightning.files import atomic_write


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("written", [False, True])
def test_a_file_is_replaced_only_when_all_is_written(
    tmp_path: Path, before: str | None, error: type[BaseException] | None, written: bool
) -> None:
    path = tmp_path / "table.csv"
    if before is not None:
        path.write_text(before)

    def content() -> str | None:
        return path.read_text() if path.exists() else None

    with pytest.raises(error) if error else nullcontext(), atomic_write(path) as partial:
        assert partial.parent == path.parent, "to replace is atomic within one file system alone"
        if written or not error:
            partial.write_text("new")
        assert content() == before
        if error:
            raise error
    assert content() == ("new" if error is None else before)
    assert list(tmp_path.iterdir()) == [path] * path.exists()


def test_two_concurrent_writes_do_not_interfere(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the outer one ends last"
    assert list(tmp_path.iterdir()) == [path]
