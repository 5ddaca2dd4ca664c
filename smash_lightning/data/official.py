"""Is an official distribution all there, and what is said if it is not?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FETCH_AGAIN = "delete it and fetch the data set again"


def find_files(root: str, folder: str, names: Sequence[str]) -> list[Path]:
    """The files `names` of a distribution's `folder`, which lies in `root` or is `root` itself.

    Raises:
        FileNotFoundError: there are none.
        ValueError: some are missing.
    """
    base = Path(root).expanduser()
    place = base / folder if (base / folder).is_dir() else base
    missing = [name for name in names if not (place / name).is_file()]
    if place == base and len(missing) == len(names):
        raise FileNotFoundError(f"no {folder} in {base}: say where it lies with dataset.root=FOLDER.")
    if missing:
        others = f" and {len(missing) - 1} other files" if len(missing) > 1 else ""
        raise ValueError(f"{place} lacks {missing[0]}{others}: complete it, or remove it and fetch the data set again.")
    return [place / name for name in names]


def shortfall(name: str, counts: tuple[int, int], official: tuple[int, int]) -> tuple[str, ...]:
    """What to say of training and test images that are not as many as the official ones."""
    return tuple(
        f"{count:,} {split} images instead of the official {published:,}: this is not the whole {name}."
        for split, count, published in zip(("training", "test"), counts, official, strict=True)
        if count != published
    )
