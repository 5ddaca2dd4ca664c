import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from smash_lightning.data.augmentation import Augmentation, CropFlip, VoxelMoves
from smash_lightning.data.rand_augment import RandAugment
from smash_lightning.random_streams import generator

CASES: list[tuple[Augmentation, tuple[int, ...]]] = [
    (CropFlip(), (8, 8)),
    (CropFlip(padding=0), (5, 7)),
    (CropFlip(padding=9, flip=False), (6, 4)),
    (RandAugment(), (8, 6)),
    (VoxelMoves(), (8, 8, 8)),
    (VoxelMoves(shift=0, rotations=1), (3, 4, 5)),
    (VoxelMoves(shift=1, flips=False, rotations=5), (7, 6, 4)),
    (VoxelMoves(shift=6, rotations=8), (5, 5, 3)),
]
every_case = pytest.mark.parametrize(("augmentation", "size"), CASES, ids=str)


def images(size: tuple[int, ...], batch: int = 6, channels: int = 3) -> Tensor:
    """Bytes from 1, so that nothing of an image looks like what comes in from outside."""
    shape = (batch, channels, *size)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator("images", *shape))


def slow_crop_flip(image: Tensor, drawn: list[int], padding: int) -> Tensor:
    """One image (channels, height, width)."""
    top, left, mirrored = drawn
    channels, height, width = image.shape
    framed = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
    framed[:, padding : padding + height, padding : padding + width] = image.flip(-1) if mirrored else image
    return framed[:, top : top + height, left : left + width]


def slow_moves(grid: Tensor, drawn: list[int], rotations: int) -> Tensor:
    """One grid (channels, x, y, z), voxel by voxel: from where each comes."""
    turn, mirrored_x, mirrored_y, *shift = drawn
    length, width, height = grid.shape[1:]
    angle = 2 * math.pi * turn / rotations
    centre = ((length - 1) / 2, (width - 1) / 2)
    moved = torch.zeros_like(grid)
    for x in range(length):
        for y in range(width):
            from_x, from_y = x - shift[0], y - shift[1]
            if not (0 <= from_x < length and 0 <= from_y < width):
                continue
            from_x = length - 1 - from_x if mirrored_x else from_x
            from_y = width - 1 - from_y if mirrored_y else from_y
            point = complex(from_x - centre[0], from_y - centre[1]) * complex(math.cos(angle), -math.sin(angle))
            from_x = math.floor(round(point.real + centre[0], 6) + 0.5)
            from_y = math.floor(round(point.imag + centre[1], 6) + 0.5)
            if not (0 <= from_x < length and 0 <= from_y < width):
                continue
            for z in range(height):
                if 0 <= z - shift[2] < height:
                    moved[:, x, y, z] = grid[:, from_x, from_y, z - shift[2]]
    return moved


def slow(augmentation: Augmentation, batch: Tensor, drawn: Tensor) -> Tensor:
    if isinstance(augmentation, CropFlip):
        return torch.stack(
            [slow_crop_flip(*pair, augmentation.padding) for pair in zip(batch, drawn.tolist(), strict=True)]
        )
    if isinstance(augmentation, RandAugment):  # its transforms are compared with Pillow's elsewhere
        return torch.cat([augmentation.apply(*pair) for pair in zip(batch.split(1), drawn.split(1), strict=True)])
    assert isinstance(augmentation, VoxelMoves)
    return torch.stack([slow_moves(*pair, augmentation.rotations) for pair in zip(batch, drawn.tolist(), strict=True)])


@every_case
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_what_each_image_becomes_alone(
    augmentation: Augmentation, size: tuple[int, ...], channels: int
) -> None:
    batch = images(size, 12, channels)
    drawn = augmentation.draw(len(batch), size, generator("drawn"))
    expected = slow(augmentation, batch, drawn)
    before = batch.clone()
    found = augmentation.apply(batch, drawn)
    assert torch.equal(found, expected)
    assert torch.equal(batch, before), "images are not changed in place"
    assert (found.dtype, found.shape) == (torch.uint8, batch.shape)
    assert found.is_contiguous()
    assert torch.equal(augmentation.apply(batch[:5], drawn[:5]), found[:5])
    assert torch.equal(augmentation.apply(batch[5:], drawn[5:]), found[5:])


@every_case
def test_any_layout_in_memory_and_any_type_will_do(augmentation: Augmentation, size: tuple[int, ...]) -> None:
    batch = images(size)
    drawn = augmentation.draw(len(batch), size, generator("drawn"))
    expected = augmentation.apply(batch, drawn)
    layout = torch.channels_last if len(size) == 2 else torch.channels_last_3d
    assert torch.equal(augmentation.apply(batch.contiguous(memory_format=layout), drawn), expected)
    assert torch.equal(
        augmentation.apply(images(size, 12)[::2], drawn), augmentation.apply(images(size, 12)[::2].clone(), drawn)
    )
    assert torch.equal(augmentation.apply(batch.float(), drawn), expected.float())


@every_case
def test_what_is_drawn_is_a_function_of_the_generator(augmentation: Augmentation, size: tuple[int, ...]) -> None:
    first, again = (augmentation.draw(100, size, generator("draw", 1)) for _ in range(2))
    torch.manual_seed(5)
    assert torch.equal(first, again)
    assert (first.dtype, first.device.type, len(first)) == (torch.int64, "cpu", 100)
    assert not torch.equal(first, augmentation.draw(100, size, generator("draw", 2)))


def columns(augmentation: Augmentation, size: tuple[int, ...]) -> list[set[int]]:
    return [set(column.tolist()) for column in augmentation.draw(2000, size, generator("columns")).unbind(1)]


def test_every_crop_and_flip_occurs_and_no_other() -> None:
    assert columns(CropFlip(padding=3), (8, 8)) == [set(range(7)), set(range(7)), {0, 1}]
    assert columns(CropFlip(padding=0, flip=False), (8, 8)) == [{0}, {0}, {0}]
    drawn = CropFlip(padding=1).draw(2000, (4, 4), generator("all"))
    assert len({tuple(row) for row in drawn.tolist()}) == 3 * 3 * 2, "they are drawn independently"
    assert abs(float(drawn[:, 2].float().mean()) - 0.5) < 0.05


def test_every_move_occurs_and_no_other() -> None:
    shifts = [{-2, -1, 0, 1, 2}] * 3
    assert columns(VoxelMoves(), (8, 8, 8)) == [set(range(12)), {0, 1}, {0, 1}, *shifts]
    assert columns(VoxelMoves(0, False, 1), (8, 8, 8)) == [{0}] * 6
    drawn = VoxelMoves(shift=1, rotations=2).draw(5000, (4, 4, 4), generator("all"))
    assert len({tuple(row) for row in drawn.tolist()}) == 2 * 2 * 2 * 27, "they are drawn independently"


@pytest.mark.parametrize("rotations", [1, 4, 12, 24])
@pytest.mark.parametrize("size", [(7, 7, 5), (8, 8, 3)])
def test_pose_zero_is_the_image_and_quarter_turns_are_exact(rotations: int, size: tuple[int, ...]) -> None:
    augmentation, batch = VoxelMoves(rotations=rotations), images(size)
    assert augmentation.views == rotations
    assert torch.equal(augmentation.view(batch, 0), batch)
    if rotations > 1:
        for quarter in range(4):
            expected = batch.rot90(quarter, (2, 3))
            assert torch.equal(augmentation.view(batch, quarter * rotations // 4), expected)
        turned = batch
        for _ in range(4):
            turned = augmentation.view(turned, rotations // 4)
        assert torch.equal(turned, batch)


class Count(TorchDispatchMode):
    """Counts tensor operations, and notes those that make the host wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.append(str(func))
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("augmentation", [CropFlip(), VoxelMoves()], ids=str)
def test_a_batch_of_any_size_costs_the_same_few_operations_and_no_waiting(augmentation: Augmentation) -> None:
    size = (8, 8) if isinstance(augmentation, CropFlip) else (8, 8, 8)
    names = []
    for count in (1, 3, 50):
        batch, drawn = images(size, count), augmentation.draw(count, size, generator("cost"))
        augmentation.apply(batch, drawn)  # the table of turns is made once
        with Count() as counted:
            augmentation.apply(batch, drawn)
        names.append(counted.names)
    assert names[0] == names[1] == names[2]
    assert len(names[0]) <= 50
    waiting = ("_local_scalar_dense", "nonzero", "masked_select", "aten.index.Tensor", "_to_copy", "is_nonzero", "item")
    assert not [name for name in names[0] if any(word in name for word in waiting)]


def test_images_of_other_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"VoxelMoves is for images of 3 dimensions, and these have 2"):
        VoxelMoves().draw(2, (4, 4), generator())
