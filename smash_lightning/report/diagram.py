"""The memory-bank diagram of an architecture (paper, figures 1 to 3 and appendix): positions and texts.

Blocks are side by side. In each, banks are vertical lanes and time runs downwards; an op is a node on a row of its own,
with one horizontal line above it that collects what it reads and one below it that distributes what it writes.
`architecture.svg.jinja` draws it.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from smash_lightning.architecture import Architecture, Block, Convolution, ImageSpec, Op, cost, layers
from smash_lightning.architecture.layers import STEM_KERNEL
from smash_lightning.report.labels import count, templates

FONT = 11.0  # height of normal text in user units; every other length of a drawing derives from it
SMALL = 0.8 * FONT
LINE = 1.35 * FONT  # distance between two lines of text
LANE = 1.25 * FONT  # distance of two lanes: the two digits of a bank's number fit
MARK = 0.42 * FONT  # radius of a mark: those on neighbouring lanes do not touch
PILL = 1.35 * FONT  # height of a convolution
PAD = 0.7 * FONT
SPACE = 0.5 * FONT  # from a mark of the legend to its meaning
INSET = 0.4 * FONT  # between the frame of a node and its convolutions, and between these
DROP = 0.85 * FONT  # from the line that reads down to the node, and from the node down to the line that writes
TIP = 0.4 * FONT  # from the end of a line to the tip of its arrowhead
GAP = 2.4 * FONT  # between blocks: the line from one to the next runs here
BOX = 2 * LINE + PAD  # height of stem, transition and classifier
LEAST_WIDTH = 46 * FONT  # a narrower drawing is too large when it fills the width of a page
# Below a block's top:
ENTRY = PAD + 2 * LINE + PAD  # stem or transition
INPUTS = ENTRY + BOX + FONT  # the line that fills the input banks
CAPS = INPUTS + 0.9 * FONT + LANE / 2  # numbers of the banks
LENGTHS = {name: value for name, value in globals().items() if isinstance(value, float)}

TIMES = "\N{MULTIPLICATION SIGN}"
NARROW, BROAD = frozenset(" .,:;'()fijlrtI"), frozenset(f"mwMW{TIMES}→")
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # not even escaped
Join = Literal["fill", "sum", "mean"]  # an op's output fills an empty bank, is added to it, or enters its mean


def architecture_svg(
    architecture: Architecture, image_spec: ImageSpec, title: str = "Architecture", legend: bool = True
) -> str:
    """Draws an architecture as a self-contained SVG: no script, no font, no reference to anything outside.

    Args:
        architecture: what to draw.
        image_spec: image and classifier around it.
        title: heading; any text.
        legend: whether to explain the marks.

    Returns:
        One `svg` element, to be written to a file or put into a page; the same for equal arguments.

    Raises:
        ValueError: `image_spec` does not fit the architecture.
    """
    title = NOT_XML.sub("\N{REPLACEMENT CHARACTER}", " ".join(title.split()))
    panels = list(_panels(architecture, image_spec))
    width = max(panels[-1].right + PAD, LEAST_WIDTH)
    heading = textwrap.wrap(title, int((width - 2 * PAD) / text_width("n", 1.5 * FONT)))
    caption = textwrap.wrap(_caption(architecture, image_spec), int((width - 2 * PAD) / text_width("n")))
    top = 1.5 * PAD + LINE + 1.4 * LINE * len(heading) + LINE * len(caption)
    bottom = top + max(panel.height for panel in panels) + 2 * PAD
    entries = list(_legend(architecture, panels, bottom + 1.5 * LINE, width - PAD)) if legend else []
    height = (entries[-1][2] + 0.75 * LINE if legend else bottom) + PAD
    texts = {"title": title, "heading": heading, "caption": caption}
    sizes = {"width": width, "height": height, "top": top, "bottom": bottom}
    return _TEMPLATE.render(**texts, **sizes, panels=panels, legend=entries) + "\n"


def text_width(content: str, size: float = FONT) -> float:
    """Width of a text in user units, whatever the font: about that of DejaVu Sans, the widest of the usual ones."""
    return size * sum(0.4 if c in NARROW else 0.9 if c in BROAD else 0.64 for c in content)


class _Row(NamedTuple):
    """Heights of an op's band, and in it of the line that reads, of the node and of the line that writes."""

    op: Op
    joins: dict[int, Join]
    top: float
    read: float
    node: float
    end: float
    write: float
    bottom: float


class _Panel:
    """A block: x in the drawing, heights from the block's top, and the texts of heading, stem and classifier."""

    def __init__(self, block: Block, left: float, *texts: Sequence[str]) -> None:
        self.block, self.left = block, left
        self.heading, self.entry, self.exit = texts
        labels = [_label(one) for op in block.ops for path in op.paths for one in path]
        self.column = PAD + max(text_width(label, 0.9 * FONT) for label in labels)  # width of a convolution
        node = INSET + max(len(op.paths) for op in block.ops) * (self.column + INSET)
        wide = [label(op) for op in block.ops for label in (_pointwise_label, _pooled_label)]
        self.node_width = max(node, PAD + 2 * INSET + max(text_width(label, 0.9 * FONT) for label in wide))
        channels = max(max(block.channels_read(op), op.units * block.width) for op in block.ops)
        name = text_width("op 00", SMALL) + PAD
        content = name + block.banks * LANE + text_width(str(channels), SMALL) + 2 * PAD + self.node_width
        self.width = max(content + PAD, max(text_width(line) for part in texts for line in part) + 2 * PAD) + 2 * PAD
        self.right = left + self.width
        margin = (self.width - content) / 2
        self.names, self.lanes = left + 1.5 * PAD, left + margin + name
        self.node = self.right - margin - self.node_width
        self.middle = self.node + self.node_width / 2
        self.rows = list(_rows(block))
        self.filled = dict.fromkeys(range(block.inputs), CAPS)  # from where on a bank is
        for row in self.rows:
            self.filled = dict.fromkeys(row.op.write, row.write) | self.filled
        self.outputs = self.rows[-1].bottom + 1.3 * FONT  # the line that collects all banks
        self.classifier = self.outputs + 1.5 * FONT
        self.height = PAD + (self.classifier + BOX if self.exit else self.outputs)

    def lane(self, bank: int) -> float:
        """Middle of a bank's lane."""
        return self.lanes + (bank + 0.5) * LANE


def _panels(architecture: Architecture, image_spec: ImageSpec) -> Iterator[_Panel]:
    blocks, left = architecture.blocks, PAD
    ones, twos, stem = (_by((size,) * architecture.dimensions) for size in (1, 2, STEM_KERNEL))
    sizes = [_by(block.size) for block in layers(architecture, image_spec, op_norm=True).blocks]
    image = f"image {_by(image_spec.size)}, {count(image_spec.channels, 'channel')}"
    stride = f", stride {image_spec.stem_stride}" if image_spec.stem_stride > 1 else ""
    for b, block in enumerate(blocks):
        heading = (f"Block {b}", f"{sizes[b]}, {count(block.banks, 'bank')} of {count(block.width, 'channel')}")
        channels = count(block.inputs * block.width, "channel")
        entry = (image, f"stem {stem}{stride} → {channels}")
        last, outputs = "norm, ReLU" if architecture.design is None else "ReLU", block.channels
        if architecture.stem is not None:
            paths = "" if architecture.design is None else " of two paths"
            residual = f"residual block{paths}{' of stride 2' if b else ''} → {channels}"
            entry = (last, residual) if b else (f"{image}, stem {stem}{stride} → {architecture.stem}", residual)
        elif architecture.design is not None:
            last, outputs = f"bank 0, max pooling {twos}", block.width
            entry = (last if b else f"{image}{stride}", f"{stem} → {channels}, norm, ReLU")
        elif b:
            entry = (f"norm, ReLU, {ones} → {channels}", f"average pooling {twos}")
        end = (f"{last}, global average pooling", f"linear, {outputs} → {image_spec.classes} classes")
        panel = _Panel(block, left, heading, entry, end if b + 1 == len(blocks) else ())
        yield panel
        left = panel.right + GAP


def _rows(block: Block) -> Iterator[_Row]:
    top, filled = CAPS + LANE / 2 + PAD, set(range(block.inputs))
    for op in block.ops:
        joins: dict[int, Join] = {bank: op.join if bank in filled else "fill" for bank in op.write}
        filled |= set(op.write)
        steps = len(op.paths[0]) + (op.bottleneck is not None) + bool(op.pooled)  # of pills below one another
        height = steps * (PILL + INSET) + INSET + (MARK + INSET if len(op.paths) == 2 else 0)
        read = top + 1.2 * MARK
        write = read + DROP + height + DROP
        bottom = write + 1.6 * MARK
        yield _Row(op, joins, top, read, read + DROP, read + DROP + height, write, bottom)
        top = bottom + INSET


def _legend(
    architecture: Architecture, panels: Sequence[_Panel], y: float, right: float
) -> Iterator[tuple[str, float, float, float, float, str]]:
    """Name or text of each mark that occurs, its place (x, y) and width, the x of its meaning, and the meaning."""
    ops, axes, long = list(architecture.ops()), architecture.dimensions, 2.4 * FONT
    joins = {join for panel in panels for row in panel.rows for join in row.joins.values()}
    activations = {op.activation for op in ops}
    example = Convolution((3,) * axes, (2,) * axes, groups=4)
    convolution = _label(example)
    pointwise = _pointwise_label(Op((0,), (0,), 1, bottleneck=8, paths=((example,),)))
    slices, unless = "0 1 0", ", unless marked post" if "post" in activations else ""
    pooled = next(filter(None, map(_pooled_label, ops)), "")
    reused = any(op.units < len(op.write) for op in ops)
    has_pointwise, meets = any(op.bottleneck is not None for op in ops), {op.meet for op in ops if len(op.paths) == 2}
    marks = [
        ("input", LANE, "bank that holds the block's input", True),
        ("empty", LANE, "bank, still empty", any(block.banks > block.inputs for block in architecture.blocks)),
        ("filled", LANE, "bank, filled", True),
        ("read", long, "op reads the bank", True),
        ("fill", long, "op fills the bank", "fill" in joins),
        ("sum", long, "op adds to the bank", "sum" in joins),
        ("mean", long, "bank becomes the mean of all that was written to it", "mean" in joins),
        ("channels", long, "channels read and written", True),
        (pooled, text_width(pooled) + FONT, "banks of the block before, average-pooled, are read too", pooled != ""),
        (slices, text_width(slices, SMALL), "which slice of the output, where slices are reused", reused),
        (pointwise, text_width(pointwise) + FONT, "pointwise convolution and its output channels", has_pointwise),
        (convolution, text_width(convolution) + FONT, "convolution: kernel, dilation 2, 4 groups (where not 1)", True),
        ("paths sum", 2 * MARK, "paths are added", "sum" in meets),
        ("paths mean", 2 * MARK, "mean of the paths", "mean" in meets),
        ("paths gate", 2 * MARK, "tanh of the first path times sigmoid of the second", "gate" in meets),
        ("", -SPACE, f"norm and ReLU come before a convolution{unless}", "pre" in activations),
        ("post", text_width("post", SMALL), "norm and ReLU come after a convolution", "post" in activations),
        ("split", text_width("split", SMALL), "ReLU before a convolution, norm after it", "split" in activations),
    ]
    x = PAD
    for mark, width, meaning in [mark[:3] for mark in marks if mark[3]]:
        size = width + SPACE + text_width(meaning, 0.95 * FONT)
        if x > PAD and x + size > right:
            x, y = PAD, y + 1.5 * LINE
        yield mark, x, y, width, x + width + SPACE, meaning
        x += size + 3 * SPACE


def _caption(architecture: Architecture, image_spec: ImageSpec) -> str:
    size = cost(architecture, image_spec)
    sizes = f"{size.params:,} parameters, {size.macs / 1e6:,.2f} million multiply-accumulates, {count(size.ops, 'op')}"
    return f"{sizes}, fingerprint\N{NO-BREAK SPACE}{architecture.fingerprint}"


def _label(convolution: Convolution) -> str:
    """Kernel; dilation and groups where they are not 1; a nonlinearity other than ReLU: `3x3 d2 g4 tanh`."""
    dilation = sorted(set(convolution.dilation))
    spread = f" d{dilation[0] if len(dilation) == 1 else _by(convolution.dilation)}" if dilation != [1] else ""
    groups = f" g{convolution.groups}" if convolution.groups != 1 else ""
    other = f" {convolution.nonlinearity}" if convolution.nonlinearity != "relu" else ""
    return _by(convolution.kernel) + spread + groups + other


def _pointwise_label(op: Op) -> str:
    """The 1x1 convolution and its output channels; empty where there is none."""
    return "" if op.bottleneck is None else f"{_by((1,) * len(op.paths[0][0].kernel))} → {op.bottleneck}"


def _pooled_label(op: Op) -> str:
    """The banks of the block before that an op reads; empty where there are none."""
    return f"pooled {', '.join(map(str, op.pooled))}" if op.pooled else ""


def _by(sizes: tuple[int, ...]) -> str:
    return TIMES.join(map(str, sizes))


_ENVIRONMENT = templates(
    autoescape=True,
    finalize=lambda value: f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value,
)
_ENVIRONMENT.filters |= {"label": _label, "pointwise_label": _pointwise_label, "pooled_label": _pooled_label}
_TEMPLATE = _ENVIRONMENT.get_template("architecture.svg.jinja", globals=LENGTHS)
