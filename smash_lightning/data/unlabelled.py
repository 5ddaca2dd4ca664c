"""Images without labels, to be classified: pictures, and arrays of bytes in .npy and .npz."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image

from smash_lightning.architecture import ImageSpec
from smash_lightning.data.encoded import Encoded, Pixels, pixels_of, printable, walk
from smash_lightning.data.folder import TYPES
from smash_lightning.data.modelnet10 import centred

ARRAYS = (".npy", ".npz")
ARRAY_NAMES = ("images", "X_test")  # of the array in an .npz of several

Named = tuple[str, Pixels | str]  # name, and bytes (channels, *size) or why it cannot be read


def find_unlabelled(root: Path) -> tuple[list[Path], list[Path]]:
    """Pictures and arrays in a folder at any depth, sorted, and other files; or the single file `root`.

    Raises:
        FileNotFoundError: there is nothing at this path.
        ValueError: there is no picture or array.
    """
    if not root.exists():
        raise FileNotFoundError(f"task.images={root}: there is no file or folder at this path")
    files = sorted(walk(root)) if root.is_dir() else [root]
    found = [path for path in files if path.suffix.lower() in (*TYPES, *ARRAYS)]
    if not found:
        raise ValueError(f"task.images={root}: no picture ({', '.join(TYPES)}) and no {' or '.join(ARRAYS)} is there")
    return found, sorted(set(files) - set(found))


def read_unlabelled(root: Path, files: list[Path], spec: ImageSpec, at_once: int) -> Iterator[list[Named]]:
    """The images of `files`, at most `at_once` at a time and an array whole; names are relative to the folder `root`.

    A picture that is larger or smaller than the network's images is brought to their size as by `dataset.size`, also
    where the data set had one size already; grey is repeated where they have three channels, and colours become grey
    where they have one.
    """
    base = root if root.is_dir() else root.parent
    pictures = [path for path in files if path.suffix.lower() not in ARRAYS]
    threads = Parallel(os.cpu_count(), prefer="threads")
    for first in range(0, len(pictures), at_once):
        yield threads(delayed(_picture)(path, base, spec) for path in pictures[first : first + at_once])
    for path in files:
        if path.suffix.lower() in ARRAYS:
            name = printable(path.relative_to(base).as_posix())
            try:
                yield [(f"{name}[{index}]", image) for index, image in enumerate(_array(path, spec))]
            except (EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
                yield [(name, " ".join(str(error).split()))]


def _picture(path: Path, base: Path, spec: ImageSpec) -> Named:
    name = printable(path.relative_to(base).as_posix())
    if spec.dimensions != 2:
        return name, f"a picture, and the network reads grids of {spec.dimensions} axes, as {' and '.join(ARRAYS)}"
    name, pixels = pixels_of(Encoded(name, path), (spec.size[1], spec.size[0]))
    if isinstance(pixels, str) or len(pixels) == spec.channels:
        return name, pixels
    if len(pixels) == 1:
        return name, np.repeat(pixels, spec.channels, 0)
    return name, np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).convert("L"))[None]


def _array(path: Path, spec: ImageSpec) -> Pixels:
    """Bytes (count, channels, *size) in a file; raises ValueError where it holds something else."""
    found = np.load(path, allow_pickle=False)
    array: NDArray[np.generic] = found
    if isinstance(found, np.lib.npyio.NpzFile):
        with found:
            names = [name for name in ARRAY_NAMES if name in found] or found.files
            if len(names) != 1:
                raise ValueError(f"it holds {', '.join(found.files) or 'nothing'}: name the array of images images")
            array = found[names[0]]
    if spec.channels == 1 and array.ndim == 1 + spec.dimensions:
        array = array[:, None]
    if array.dtype.kind not in "biuf" or (array.astype(np.uint8) != array).any():
        raise ValueError(f"an array of {array.dtype} with values that are no bytes")
    if spec.dimensions == 3 and array.ndim == 5:
        array = centred(array, spec.size[0], path)
    if array.ndim != 2 + spec.dimensions or array.shape[1:] != (spec.channels, *spec.size):
        expected = ", ".join(map(str, ("count", spec.channels, *spec.size)))
        raise ValueError(f"an array of shape {array.shape}, not ({expected})")
    return array.astype(np.uint8)
