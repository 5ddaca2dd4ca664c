from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from smash_lightning.data import Augmentation, CropFlip, Split, Subset, TensorLoader

COUNT = 23
# Image i is all i, and so is its label: a batch shows which examples it holds.
SPLIT = Split(torch.arange(COUNT, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 3, 3), torch.arange(COUNT))
PART = Subset(SPLIT, torch.arange(COUNT))
MEAN, STD = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1), torch.tensor([0.5, 4.0]).view(1, 2, 1, 1)


class Marks(Augmentation):
    """Adds a random number of its own to each image, and ten to each pose, so that one sees what was drawn for it."""

    views = 3

    def draw(self, count: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        assert size == (3, 3)
        return torch.randint(100, (count, 1), generator=generator)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        return images + drawn.view(-1, 1, 1, 1).byte()

    def view(self, images: Tensor, index: int) -> Tensor:
        return images + 10 * index


def loader(batch_size: int, seed: int | None = None, rank: int = 0, world: int = 1, **options: Any) -> TensorLoader:
    order = None if seed is None else f"a test's {seed}"
    return TensorLoader(PART, MEAN, STD, batch_size, order=order, rank=rank, world=world, **options)


def labels(loader: TensorLoader) -> list[list[int]]:
    return [batch.tolist() for _, batch in loader]


def same(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


@given(batch_size=st.integers(1, COUNT), seed=st.integers(0, 99), epoch=st.integers(0, 99))
def test_batches_are_a_function_of_seed_epoch_and_position(batch_size: int, seed: int, epoch: int) -> None:
    first, second = (loader(batch_size, seed, augmentation=Marks()) for _ in range(2))
    first.set_epoch(epoch)
    list(second)  # what was read before does not matter
    second.set_epoch(epoch)
    assert same(list(first), list(second))
    assert len(list(first)) == len(first) == COUNT // batch_size


def test_images_are_normalised_and_match_their_labels() -> None:
    for images, batch in loader(4, 3):
        expected = (batch.view(-1, 1, 1, 1) - MEAN) / STD
        torch.testing.assert_close(images, expected.expand(-1, 2, 3, 3))


@given(batch_size=st.integers(1, 8), epoch=st.integers(0, 5), data=st.data())
def test_an_epoch_that_was_interrupted_goes_on_where_it_was(batch_size: int, epoch: int, data: st.DataObject) -> None:
    whole, interrupted, resumed = (loader(batch_size, 7, augmentation=Marks()) for _ in range(3))
    whole.set_epoch(epoch)
    position = data.draw(st.integers(0, len(whole) - 1))
    interrupted.set_epoch(epoch)
    iterator = iter(interrupted)
    before = [next(iterator) for _ in range(position)]
    state = interrupted.state_dict()
    assert state == {"position": position}
    resumed.load_state_dict(state)
    resumed.set_epoch(epoch)
    assert same(before + list(resumed), list(whole))
    # The pass after it is a whole one again.
    whole.set_epoch(epoch + 1)
    resumed.set_epoch(epoch + 1)
    assert same(list(resumed), list(whole))


@pytest.mark.parametrize("exhausted", [True, False])
def test_after_a_complete_epoch_the_next_one_is_whole(exhausted: bool) -> None:
    # A training may take its last batch without a request for another.
    complete, resumed, fresh = (loader(4, 7) for _ in range(3))
    iterator = iter(complete)
    for _ in range(len(complete)):
        next(iterator)
    if exhausted:
        assert next(iterator, None) is None
    resumed.load_state_dict(complete.state_dict())
    for each in (complete, resumed, fresh):
        each.set_epoch(1)
    assert labels(complete) == labels(resumed) == labels(fresh)


@given(batch_size=st.integers(1, 6), world=st.integers(1, 4), epoch=st.integers(0, 5))
def test_ranks_divide_the_batches_of_one_process(batch_size: int, world: int, epoch: int) -> None:
    if COUNT // world < batch_size:
        return
    ranks = [loader(batch_size, 3, rank, world) for rank in range(world)]
    alone = loader(batch_size * world, 3)
    for each in (*ranks, alone):
        each.set_epoch(epoch)
    shares = [labels(each) for each in ranks]
    assert len({len(share) for share in shares}) == 1, "ranks take equally many steps"
    for step, batch in enumerate(labels(alone)):
        assert sorted(label for share in shares for label in share[step]) == sorted(batch)
    seen = [label for share in shares for batch in share for label in batch]
    assert len(set(seen)) == len(seen)


def marks(loader: TensorLoader) -> list[list[int]]:
    """What was added to each image of each batch."""
    raw = [(images * STD + MEAN)[:, 0, 0, 0].round().long() - labels for images, labels in loader]
    return [batch.tolist() for batch in raw]


def test_draws_differ_between_images_epochs_and_seeds() -> None:
    one, later, other = (loader(5, seed, augmentation=Marks()) for seed in (0, 0, 1))
    later.set_epoch(1)
    drawn = [marks(each) for each in (one, later, other)]
    assert drawn[0] not in drawn[1:]
    assert len({mark for batch in drawn[0] for mark in batch}) > 10


@given(batch_size=st.integers(1, COUNT + 1))
def test_poses_follow_one_another_each_in_order(batch_size: int) -> None:
    posed = loader(batch_size, augmentation=Marks(), views=3)
    assert len(posed) == len(list(posed)) == 3 * -(-COUNT // batch_size)
    assert [label for batch in labels(posed) for label in batch] == 3 * list(range(COUNT))
    assert [mark for batch in marks(posed) for mark in batch] == [0] * COUNT + [10] * COUNT + [20] * COUNT


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("augmentation", [None, CropFlip(1)])
def test_a_step_does_not_make_a_gpu_wait(augmentation: Augmentation | None) -> None:
    resident = Subset(Split(SPLIT.images.cuda(), SPLIT.labels.cuda()), PART.index)
    loader = TensorLoader(resident, MEAN.cuda(), STD.cuda(), 4, order="gpu", augmentation=augmentation)
    batches = iter(loader)
    next(batches)  # begins the epoch
    torch.cuda.set_sync_debug_mode("error")
    try:
        for images, labels in batches:
            assert images.is_cuda
            assert labels.is_cuda
    finally:
        torch.cuda.set_sync_debug_mode("default")
