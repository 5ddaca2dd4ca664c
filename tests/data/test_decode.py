import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from smash_lightning.data.encoded import Encoded, decode

Pixels = NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image | Pixels, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def named(*contents: bytes | Path | None) -> list[Encoded]:
    return [Encoded(f"image {position}", content) for position, content in enumerate(contents)]


def undivided(images: list[Encoded], size: int | None) -> tuple[Tensor, Tensor, list[str]]:
    """All of them as training images."""
    (train, _), readable, unreadable = decode(images, torch.zeros(len(images), dtype=torch.bool), size)
    return train, readable, unreadable


def one(content: bytes | Path, size: int | None = None) -> NDArray[np.uint8]:
    """The decoded image as (height, width, channels)."""
    return undivided(named(content), size)[0][0].permute(1, 2, 0).numpy()


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    colour=st.lists(st.booleans(), min_size=1, max_size=80),
    seed=st.integers(0, 99),
)
def test_what_was_encoded_without_loss_is_decoded_in_order(
    shape: tuple[int, int], colour: list[bool], seed: int
) -> None:
    arrays = [noise(*shape, *([3] if each else []), seed=seed + i) for i, each in enumerate(colour)]
    images, readable, unreadable = undivided(named(*map(encoded, arrays)), None)
    assert images.shape == (len(arrays), 3 if any(colour) else 1, *shape)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    for array, image in zip(arrays, images.permute(0, 2, 3, 1).numpy(), strict=True):
        assert np.array_equal(image, np.broadcast_to(array.reshape(*shape, -1), image.shape))
    assert readable.all()
    assert unreadable == []


def test_images_are_not_read_far_ahead() -> None:
    taken = 0

    def images() -> Iterator[Encoded]:
        nonlocal taken
        for taken in range(20_000):
            yield Encoded(f"image {taken}", encoded(noise(2, 2 if taken < 5 else 3)))

    with pytest.raises(ValueError, match="differ in size"):
        decode(images(), torch.zeros(20_000, dtype=torch.bool), None)
    assert taken < 3000, "an error among the first images does not wait for the last"


def sixteen_bits(order: str = "<") -> tuple[Image.Image, Pixels]:
    """A 16-bit image, and what it is in 8 bits."""
    values = np.array([[0, 128, 129, 257, 30_000, 65_535]] * 2, dtype=np.uint16)
    mode = "I;16B" if order == ">" else "I;16"
    image = Image.frombytes(mode, values.shape[::-1], values.astype(f"{order}u2").tobytes())
    return image, np.array([[0, 0, 1, 1, 117, 255]] * 2, dtype=np.uint8)


def kinds() -> dict[str, tuple[bytes, Pixels]]:
    """What is stored, and its bytes (height, width) where it is grey, or (height, width, 3)."""
    grey, bits = noise(6, 5), noise(6, 5) > 127
    veil = Image.fromarray(np.stack([grey, np.where(bits, 255, 0).astype(np.uint8)], -1))
    (wide, narrow), (big, _) = sixteen_bits(), sixteen_bits(">")
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [0, 0, 0], [255, 255, 255]]], np.uint8)
    rgb = Image.fromarray(colours)
    alpha = np.array([[255, 0, 255], [255, 255, 0]], dtype=np.uint8)
    over = np.where(alpha[..., None] == 255, colours, 255).astype(np.uint8)
    rgba = Image.fromarray(np.concatenate([colours, alpha[..., None]], -1))
    palette = rgb.quantize(8)
    without_red = colours.copy()
    without_red[0, 0] = 255
    half, pale = Image.new("RGBA", (2, 2), (255, 0, 0, 51)), np.full((2, 2, 3), (255, 204, 204), np.uint8)
    cyan, bright = Image.new("CMYK", (2, 2), (255, 0, 0, 0)), np.full((2, 2, 3), (0, 255, 255), np.uint8)
    one_clear = np.where(grey == grey[0, 0], 255, grey)
    return {
        "L": (encoded(grey), grey),
        "L, one value transparent": (encoded(grey, transparency=int(grey[0, 0])), one_clear),
        "1": (encoded(Image.fromarray(bits)), bits.astype(np.uint8) * 255),
        "LA": (encoded(veil), np.where(bits, grey, 255)),
        "16 bits, PNG": (encoded(wide), narrow),
        "16 bits, TIFF": (encoded(wide, "TIFF"), narrow),
        "16 bits, TIFF, big endian": (encoded(big, "TIFF"), narrow),
        "16 bits, PGM": (encoded(wide, "PPM"), narrow),
        **{kind: (encoded(rgb, kind), colours) for kind in ("PNG", "BMP", "TIFF", "PPM")},
        "WebP": (encoded(rgb, "WEBP", lossless=True), colours),
        "GIF": (encoded(palette, "GIF"), colours),
        "palette": (encoded(palette), colours),
        "palette, one colour transparent": (encoded(palette, transparency=palette.getpixel((0, 0))), without_red),
        "RGB, one colour transparent": (encoded(rgb, transparency=(255, 0, 0)), without_red),
        "RGBA": (encoded(rgba), over),
        "a fifth of red": (encoded(half), pale),
        "CMYK, TIFF": (encoded(cyan, "TIFF"), bright),
        "CMYK, JPEG": (encoded(cyan, "JPEG", quality=100), bright),
    }


@pytest.mark.parametrize("kind", kinds())
def test_grey_stays_grey_and_colours_become_rgb(kind: str) -> None:
    content, expected = kinds()[kind]
    assert np.array_equal(one(content), expected.reshape(*expected.shape[:2], -1))


def test_the_first_image_of_an_animation_is_taken() -> None:
    first, second = (Image.fromarray(noise(4, 4, seed=seed)) for seed in (1, 2))
    assert np.array_equal(
        one(encoded(first, "GIF", save_all=True, append_images=[second]))[..., 0], noise(4, 4, seed=1)
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_images_come_upright(kind: str) -> None:
    # Eight flat tiles, all different, survive even JPEG.
    upright = np.kron(np.arange(8, dtype=np.uint8).reshape(4, 2) * 32, np.ones((16, 16), dtype=np.uint8))
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise to be seen
    image = one(encoded(stored, kind, exif=exif))[..., 0]
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= 2


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 20), value=st.integers(0, 255))
def test_flat_images_of_any_size_stay_flat(height: int, width: int, size: int, value: int) -> None:
    image = one(encoded(np.full((height, width), value, dtype=np.uint8)), size)
    assert image.shape == (size, size, 1)
    assert (image == value).all()


def test_the_middle_is_kept() -> None:
    array = noise(8, 8, 3)
    assert np.array_equal(one(encoded(array), 8), array), "an image of the wanted size is unchanged"
    half = Image.fromarray(array).resize((4, 4), Image.Resampling.LANCZOS)
    assert np.array_equal(one(encoded(array), 4), np.asarray(half))
    stripes = np.repeat(np.array([[10, 100, 200]], dtype=np.uint8), 20, axis=1).repeat(20, axis=0)  # 20 x 60
    assert np.abs(one(encoded(stripes), 10).astype(int) - 100).max() < 30
    assert np.abs(one(encoded(np.ascontiguousarray(stripes.T)), 10).astype(int) - 100).max() < 30


def test_images_of_several_sizes_are_named() -> None:
    images = named(*[encoded(noise(4, 6))] * 40, encoded(noise(5, 6)), encoded(noise(7, 7)))
    message = r"^images differ in size: image 0 has 6x4 pixels, image 40 has 6x5: dataset\.size=N brings all to NxN$"
    with pytest.raises(ValueError, match=message):
        undivided(images, None)
    assert undivided(images, 3)[0].shape == (42, 1, 3, 3)


BROKEN: dict[str, tuple[bytes | Path | None, str]] = {
    "missing": (Path("none.png"), "No such file"),
    "truncated JPEG": (encoded(noise(32, 32, 3), "JPEG")[:-200], "truncated"),
    "truncated PNG": (encoded(noise(32, 32, 3))[:-200], "truncated"),
    "text": (b"<html>404</html>", "no image of a known type"),
    "empty": (b"", "no image of a known type"),
    "no content": (None, "no content"),
    "bomb": (b"P6 30000 30000 255 ", "decompression bomb"),
    "PostScript": (encoded(Image.new("RGB", (4, 4)), "EPS"), "no image of a known type"),
    "floating-point": (encoded(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
    "32 bits": (encoded(Image.new("I", (4, 4), 70_000), "TIFF"), "more than 16 bits"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_unreadable_images_are_skipped_and_named_unless_they_are_more_than_a_hundredth(kind: str) -> None:
    content, reason = BROKEN[kind]
    good = noise(99, 4, 4)
    contents: list[bytes | Path | None] = [*map(encoded, good)]
    images, readable, unreadable = undivided(named(*contents[:40], content, *contents[40:]), 4)
    assert unreadable == ["image 40"]
    assert (~readable).nonzero().tolist() == [[40]]
    assert np.array_equal(images[:, 0].numpy(), good)
    many = named(*contents, *contents[1:], *[content] * 2)
    for some, message in ((many, "2 of 199 images .* is image 197"), (named(content), "1 of 1 images .* is image 0")):
        with pytest.raises(ValueError, match=rf"^{message} \(.*{reason}.*\):.*1 %"):
            undivided(some, 4)


def test_the_test_images_come_apart_from_the_others() -> None:
    contents: list[bytes | None] = [encoded(np.full((2, 2), value, dtype=np.uint8)) for value in range(200)]
    contents[30] = contents[131] = b"broken"
    (train, test), readable, _ = decode(named(*contents), torch.arange(200) % 5 == 0, None)
    assert train[:, 0, 0, 0].tolist() == [value for value in range(200) if value % 5 and value != 131]
    assert test[:, 0, 0, 0].tolist() == [value for value in range(0, 200, 5) if value != 30]
    assert (~readable).nonzero().flatten().tolist() == [30, 131]
