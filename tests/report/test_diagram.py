import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from smash_lightning.architecture import Architecture, Block, Convolution, ImageSpec, Op, cost
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.search_space.presets import fractalnet, shake, wrn
from tests.cases import CASES as SPACES

PLAIN, WIDE = Convolution((3, 3), (1, 1)), Convolution((7, 5), (2, 1), groups=2)
DIGITS = ImageSpec(channels=1, size=(8, 8), classes=10)

MIXED = Architecture(
    (
        Block(
            width=4,
            inputs=2,
            ops=(
                Op((0,), (2,), 1, bottleneck=12, paths=((PLAIN,),)),
                Op((0, 2), (1, 2, 3, 4), 2, bottleneck=16, paths=((WIDE, PLAIN), (Convolution((5, 5), (1, 1)),))),
                Op((1, 3), (2,), 1, bottleneck=None, paths=((PLAIN,),), activation="post", join="mean"),
            ),
        ),
        Block(width=4, inputs=1, ops=(Op((0,), (0,), 1, bottleneck=8, paths=((PLAIN, PLAIN),)),)),
    )
)
LONE = Architecture((Block(2, 1, (Op((0,), (0,), 1, None, ((PLAIN,),)),)),))
LARGE = Architecture(
    tuple(
        Block(8, 2, tuple(Op(tuple(range(o + 2)), (o + 2, o + 14), 2, 64, ((WIDE, WIDE), (WIDE, WIDE))) for o in order))
        for order in [range(12)] * 3
    )
)
VOXELS = Architecture((Block(4, 1, (Op((0,), (1,), 1, 8, ((Convolution((3, 5, 3), (1, 2, 1)),),)),)),))
CASES = {"mixed": MIXED, "lone": LONE, "large": LARGE, "voxels": VOXELS, "wide residual": wrn(16, 1)}
CASES |= {"fractal": fractalnet(3, 4), "shake-shake": shake(20, 8), "gated": SPACES["options"].draw(0)}


def svg_of(architecture: Architecture, image_spec: ImageSpec | None = None, title: str = "A title") -> str:
    images = image_spec or ImageSpec(channels=1, size=(8,) * architecture.dimensions, classes=10)
    return architecture_svg(architecture, images, title)


def drawn(architecture: Architecture, image_spec: ImageSpec | None = None, title: str = "A title") -> Element:
    """The parsed drawing, its multiplication signs as plain x."""
    return ElementTree.fromstring(svg_of(architecture, image_spec, title).replace("\N{MULTIPLICATION SIGN}", "x"))


def ops_of(svg: Element) -> dict[str, Element]:
    return {g.get("data-name", ""): g for g in svg.iter() if g.get("class") == "op"}


def marks(op: Element, kind: str) -> list[tuple[int, str]]:
    """Bank and class of an op's marks whose class begins with `kind`."""
    found = [g for g in op.iter() if (g.get("class") or "").split(" ")[0] == kind]
    return [(int(g.get("data-bank", "")), g.get("class", "")) for g in found]


def texts(element: Element) -> list[str]:
    return [t.text or "" for t in element.iter() if t.tag.endswith("}text")]


@pytest.mark.parametrize("architecture", CASES.values(), ids=CASES)
def test_every_op_is_one_node_and_every_read_and_write_has_its_mark(architecture: Architecture) -> None:
    nodes = ops_of(drawn(architecture))
    expected = {f"block{b}.op{o}": op for b, k in enumerate(architecture.blocks) for o, op in enumerate(k.ops)}
    assert list(nodes) == list(expected)
    for name, op in expected.items():
        assert [bank for bank, _ in marks(nodes[name], "read")] == list(op.read)
        assert [bank for bank, _ in marks(nodes[name], "write")] == list(op.write)


def test_marks_differ_by_join_and_a_node_names_its_convolutions_and_explains_itself_in_words() -> None:
    nodes = ops_of(drawn(MIXED))
    assert marks(nodes["block0.op0"], "write") == [(2, "write fill")]
    kinds = [kind for _, kind in marks(nodes["block0.op1"], "write")]
    assert kinds == ["write sum", "write sum", "write fill", "write fill"]
    assert marks(nodes["block0.op2"], "write") == [(2, "write mean")]
    # name, channels read and written, slices, convolutions, 1x1
    assert texts(nodes["block0.op1"]) == ["op 1", "8", "8", *"0101", "7x5 d2x1 g2", "3x3", "5x5", "1x1 → 16"]
    assert texts(nodes["block0.op2"]) == ["op 2", "post", "8", "4", "μ", "3x3"]
    assert "3x5x3 d1x2x1" in texts(ops_of(drawn(VOXELS))["block0.op0"])
    (title,) = [e for e in nodes["block0.op1"] if e.tag.endswith("}title")]
    assert title.text == (
        "reads banks 0, 2 (8 channels); 1x1 → 16; 7x5 d2x1 g2 then 3x3 in parallel with 5x5; "
        "fills banks 3, 4 and adds to banks 1, 2 (8 channels)"
    )


def test_resolutions_and_cost_are_shown() -> None:
    size, shown = cost(MIXED, DIGITS), " ".join(texts(drawn(MIXED)))
    for words in (f"{size.params:,} parameters", "image 8x8", "8x8, 5 banks of 4", "4x4, 1 bank of 4", "10 classes"):
        assert words in shown
    assert "48x48, 5 banks of 4 channels" in texts(drawn(MIXED, ImageSpec(3, (96, 96), 10, stem_stride=2)))
    with pytest.raises(ValueError, match="2D architecture"):
        architecture_svg(MIXED, ImageSpec(1, (8, 8, 8), 10))


@pytest.mark.parametrize("title", ["<script>\"x\" & 'y'</script>", "a\x00b\x1b", "\ud800", "", "w" * 500, "two\nlines"])
def test_any_title_gives_valid_xml(title: str) -> None:
    svg = drawn(LONE, title=title)
    assert not [e for e in svg.iter() if e.tag.endswith("script")]
    svg_of(LONE, title=title).encode("utf-8")
    assert "a < b & c" in texts(drawn(LONE, title="a < b & c"))


@pytest.mark.parametrize("architecture", CASES.values(), ids=CASES)
def test_the_drawing_is_self_contained_and_within_its_frame(architecture: Architecture) -> None:
    source = svg_of(architecture)
    svg = ElementTree.fromstring(source)
    assert not re.search(r"href|url\(|@import|<style|<script| id=", source)
    assert svg.get("width") == "100%"
    left, top, width, height = map(float, svg.get("viewBox", "").split())
    assert (left, top) == (0, 0)
    for element in svg.iter():
        assert 0 <= float(element.get("x", 0)) <= width
        assert float(element.get("x", 0)) + float(element.get("width", "0").rstrip("%")) <= width
        assert 0 <= float(element.get("y", 0)) <= height
    assert source == svg_of(Architecture.from_json(architecture.to_json()))
