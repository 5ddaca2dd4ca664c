"""Checkpoints are written whole or not at all, and damaged ones are refused."""

import pickle
from pathlib import Path

import pytest
import torch

from smash_lightning.checkpoint import AtomicCheckpointIO, load_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint, in a folder that did not exist."""
    path = tmp_path / "deeper" / "one.ckpt"
    AtomicCheckpointIO().save_checkpoint({"smash": torch.arange(3000.0), "more": torch.ones(3000)}, path)
    return path


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(path: Path) -> None:
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        AtomicCheckpointIO().save_checkpoint({"smash": torch.zeros(3), "what": lambda: None}, path)
    assert torch.equal(load_checkpoint(path, "smash")["smash"], torch.arange(3000.0))
    assert [file.name for file in path.parent.iterdir()] == ["one.ckpt"]


def test_damaged_checkpoints_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no checkpoint at .*none\.ckpt"):
        load_checkpoint(path.with_name("none.ckpt"), "smash")
    content, refused = path.read_bytes(), 0
    for size in (0, 10, len(content) // 2):
        path.write_bytes(content[:size])
        message = r"one\.ckpt is not a readable checkpoint, perhaps truncated or damaged.*delete it"
        with pytest.raises(ValueError, match=message):
            load_checkpoint(path, "smash")
    for place in range(64, len(content), len(content) // 40):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            loaded = load_checkpoint(path, "smash")
        except ValueError:
            refused += 1
        else:  # between two entries of the archive
            assert torch.equal(loaded["smash"], torch.arange(3000.0))
            assert torch.equal(loaded["more"], torch.ones(3000))
    assert refused > 20, "flipped bits were loaded"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match=r"one\.ckpt is a checkpoint of something else .* it holds no 'smash'"):
        load_checkpoint(path, "smash")
