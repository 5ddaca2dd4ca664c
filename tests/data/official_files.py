"""Small sets in the layouts of the official distributions."""

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smash_lightning.random_streams import rng

SHARED = Path(__file__).parents[3] / "shared" / "data"
with_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no copies of official sets")
CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FINE, COARSE = [f"fine {number}" for number in range(100)], [f"coarse {number}" for number in range(20)]
STL10_NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
IDS = [1, 7, 500, 1000]  # of ImageNet32's classes


def rows(name: str, count: int) -> np.ndarray:
    """Noise as rows of 3 x 32 x 32 bytes."""
    return np.frombuffer(rng(name).randbytes(count * 3072), np.uint8).reshape(count, 3072)


def change(path: Path, how: Callable[[Any], Any], protocol: int = 2) -> None:
    """Writes a pickle with the keys of Python 2, or writes one again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    changed = how(pickle.loads(path.read_bytes()) if path.exists() else None)
    if isinstance(changed, dict):
        changed = {key.encode() if isinstance(key, str) else key: entry for key, entry in changed.items()}
    path.write_bytes(pickle.dumps(changed, protocol))


def cifar10(root: Path, count: int = 4, protocol: int = 2) -> Path:
    """CIFAR-10, `count` images in each batch; label of the n-th image: n modulo 10."""
    folder = root / "cifar-10-batches-py"
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        labels = [n % 10 for n in range(number * count, (number + 1) * count)]
        data = np.asarray(rows(name, count), order="CF"[number % 2])
        batch = {"batch_label": name, "labels": labels, "data": data}
        change(folder / name, lambda _, batch=batch: batch, protocol)
    change(folder / "batches.meta", lambda _: {"num_cases_per_batch": count, "label_names": CIFAR10_NAMES})
    return folder


def cifar100(root: Path, train: list[int], test: list[int]) -> Path:
    """CIFAR-100 with these fine labels; a coarse one is a fifth of it."""
    folder = root / "cifar-100-python"
    for name, fine in (("train", train), ("test", test)):
        coarse = [label // 5 for label in fine]
        batch = {"fine_labels": fine, "coarse_labels": coarse, "data": rows(name, len(fine))}
        change(folder / name, lambda _, batch=batch: batch)
    change(folder / "meta", lambda _: {"fine_label_names": FINE, "coarse_label_names": COARSE})
    return folder


def imagenet32(root: Path, *, apart: bool = False, test_ids: list[int] = IDS) -> Path:
    """Downsampled ImageNet: the b-th batch holds b images, the classes `IDS` in turn."""
    drawn = 0
    for number in range(1, 11):
        labels = [IDS[n % len(IDS)] for n in range(drawn, drawn + number)]
        drawn += number
        batch = {"data": rows(f"train {number}", number), "labels": labels, "mean": np.zeros(3072)}
        change(root / ("Imagenet32_train" if apart else "") / f"train_data_batch_{number}", lambda _, b=batch: b, 3)
    test = {"data": rows("val", len(test_ids)), "labels": test_ids}
    change(root / ("Imagenet32_val" if apart else "") / "val_data", lambda _: test, 3)
    return root


def stl10(root: Path, train: int = 20, test: int = 7) -> Path:
    """STL-10; label of the n-th image: n modulo 10, counted from 1; ten folds of two images."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        n, c, x, y = np.ogrid[:count, :3, :96, :96]  # the file goes down a column before it goes to the next
        (folder / f"{split}_X.bin").write_bytes(((n * 7 + c * 50 + y * 2 + x) % 256).astype(np.uint8).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(number % 10 + 1 for number in range(count)))
    (folder / "class_names.txt").write_text("\n".join(STL10_NAMES))
    (folder / "fold_indices.txt").write_text("".join(f"{19 - fold} {fold} \n" for fold in range(10)))
    return folder


def binvox(grid: np.ndarray, name: str = "#binvox 1") -> bytes:
    """A grid run by run, in the order of the format: x slowest, then z, then y."""
    runs = bytearray()
    for value, run in itertools.groupby(grid.transpose(0, 2, 1).ravel().tolist()):
        count = len(list(run))
        for start in range(0, count, 255):
            runs += bytes([value, min(255, count - start)])
    length, width, height = grid.shape
    return f"{name}\ndim {length} {height} {width}\ntranslate -0.5 0 1e-3\nscale 7.2\ndata\n".encode() + runs
