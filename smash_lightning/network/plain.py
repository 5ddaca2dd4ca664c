"""The source code of one network in plain torch.nn, which needs nothing of this package."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from smash_lightning.architecture import Block, Layer, Op, layers
from smash_lightning.architecture.layers import BlockLayers, Layers, OpLayers, Stage, Transition
from smash_lightning.network.batch_norm import norm_channels
from smash_lightning.network.standalone import Classifier

FILE = '''\
"""{title}

Generated code: it needs torch, and safetensors for the trained weights in {weights}.
    network = load()
    probabilities = network(images).softmax(1)
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = {classes}
{blocks}

class Network(nn.Module):
    """Logits (count, {count}) of images (count, {shape}), bytes or floats in units of bytes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor({mean}).view({view}), persistent=False)
        self.register_buffer("std", torch.tensor({std}).view({view}), persistent=False)
        {init}

    def forward(self, images):
        x = self.stem((images.float() - self.mean) / self.std)
        {forward}
        return self.head(x.mean({space}))


def load(path=Path(__file__).with_name("{weights}")):
    """The trained network, in evaluation mode."""
    from safetensors.torch import load_file

    network = Network()
    network.load_state_dict(load_file(path))
    return network.eval()
'''

BLOCK = '''

class Block{number}(nn.Module):
    """{ops} ops on {banks} banks of {width} channels, {size} pixels; the input fills the first {inputs}."""

    def __init__(self):
        super().__init__()
        {init}

    def forward(self, {given}):
        bank = dict(enumerate(x.split({width}, 1)))
        {forward}
'''


def plain_source(classifier: Classifier, classes: Sequence[str], title: str, weights: str) -> str:
    """A Python file with a class `Network`, which computes what `classifier` does in evaluation mode.

    Args:
        classifier: a retrained network.
        classes: name of each of its outputs.
        title: first line of the file's docstring.
        weights: name of the file with `plain_state`, in the format of safetensors.
    """
    architecture, spec = classifier.network.architecture, classifier.network.image_spec
    table = layers(architecture, spec, op_norm=True)
    names = [f"block{b}" for b in range(len(table.blocks))]
    given = ["x, banks" if block.pooled_width else "x" for block in architecture.blocks]  # banks of the block before
    results = [*given[1:], "x"]
    rows = zip(architecture.blocks, table.blocks, given, results, strict=True)
    blocks = [_block(b, *row) for b, row in enumerate(rows)]
    calls = [f"{result} = self.{name}({x})" for name, x, result in zip(names, given, results, strict=True)]
    init = [f"self.{name} = Block{b}()" for b, name in enumerate(names)]
    listed = "".join(f"    {name!r},\n" for name in classes)
    return FILE.format(
        title=title.replace("\\", "\\\\").replace('"', "'"),
        weights=weights,
        classes=f"(\n{listed})",
        blocks="".join(blocks),
        count=spec.classes,
        shape=", ".join(map(str, (spec.channels, *spec.size))),
        mean=classifier.mean.flatten().tolist(),
        std=classifier.std.flatten().tolist(),
        view=", ".join(map(str, classifier.mean.shape)),
        init=_lines([*map(_attribute, [table.stem, *_outside_ops(table.entry)]), *init, _attribute(table.head)]),
        forward=_lines([*_entry(table.entry), *calls, *_pool(table)]),
        space=tuple(range(2, 2 + spec.dimensions)),
    )


def plain_network(source: str) -> nn.Module:
    """The `Network` of a source code, with random weights, in evaluation mode."""
    space: dict[str, Any] = {"__name__": "network", "__file__": "network.py"}
    exec(compile(source, "network.py", "exec"), space)
    network: nn.Module = space["Network"]()
    return network.eval()


def plain_state(classifier: Classifier) -> dict[str, Tensor]:
    """Weights and statistics of BatchNorm under the names that `Network` has."""
    network = classifier.network
    table, state = layers(network.architecture, network.image_spec, op_norm=True), dict[str, Tensor]()
    for name, tensor in network.weights.named_parameters():
        layer, _, kind = name.rpartition(".")
        state[f"{_path(layer)}.{kind}"] = tensor.detach().contiguous()
    for index, name in enumerate(norm_channels(table)):
        state[f"{_path(name)}.running_mean"] = network.statistics.get_buffer(f"mean{index}")
        state[f"{_path(name)}.running_var"] = network.statistics.get_buffer(f"variance{index}")
    return state


def _block(number: int, block: Block, row: BlockLayers, given: str, result: str) -> str:
    forward, writes = list[str](), dict.fromkeys(range(block.inputs), 1)  # number of writes to each bank so far
    if used := sorted({bank for op in block.ops for bank in op.pooled}):
        forward.append(f"pooled = {{i: F.avg_pool{len(row.size)}d(banks[i], 2) for i in {used}}}")
    for o, (op, op_layers) in enumerate(zip(block.ops, row.ops, strict=True)):
        forward += [f"# op {o}", *_op(op, op_layers, block.width, writes)]
    kept = f"torch.cat([bank[i] for i in range({row.outputs // block.width})], 1)"
    forward += [f"x = F.relu({kept if row.norm is None else _call(row.norm, kept)})"]
    forward += _transition(row.transition)
    own = [*(layer for op in row.ops for layer in op), *_outside_ops(row)]
    return BLOCK.format(
        number=number,
        ops=len(block.ops),
        banks=block.banks,
        width=block.width,
        size=" x ".join(map(str, row.size)),
        inputs=block.inputs,
        init=_lines(map(_attribute, own)),
        forward=_lines([*forward, f"return {result.replace('banks', 'bank')}"]),
        given=given,
    )


def _outside_ops(row: BlockLayers | None) -> list[Layer]:
    return [] if row is None else [*([] if row.norm is None else [row.norm]), *(row.transition or ())]


def _entry(row: BlockLayers | None) -> list[str]:
    """Lines between the stem and the first block."""
    if row is None or row.norm is None:
        return []
    return [f"x = F.relu({_call(row.norm, 'x')})", *_transition(row.transition)]


def _pool(table: Layers) -> list[str]:
    return [f"x = F.max_pool{len(table.stem.size)}d(x, 2)"] if table.pooled else []


def _transition(transition: Transition | None) -> Iterator[str]:
    if transition is None:
        return
    shortcut, paths, axes = transition.shortcut, transition.residual, len(transition.shortcut.size)
    for p, path in enumerate(paths):
        for s, stage in enumerate(path):
            yield f"y{p} = {_stage(stage, f'y{p}' if s else 'x')}"
    if not paths and transition.norm is None:
        yield f"x = {_call(shortcut, f'F.avg_pool{axes}d(x, 2)')}"
    elif not paths:
        yield f"x = F.max_pool{axes}d(x, 2)"
        if transition.doubling is not None:
            yield f"x = {_stage(transition.doubling, 'x')}"
        yield f"x = {_stage(Stage(shortcut, transition.norm, 'relu'), 'x')}"
    elif transition.norm is None:
        yield f"x = y0 + {_call(shortcut, 'x')}"
    else:  # the image, and the image moved by one pixel
        yield f"x = torch.cat([x, F.pad(x, {(1, -1) * axes})], 1)"
        yield f"x = (y0 + y1) / 2 + {_stage(Stage(shortcut, transition.norm, None), 'x')}"


def _op(op: Op, row: OpLayers, width: int, writes: dict[int, int]) -> Iterator[str]:
    whole = f"[bank[i] for i in {op.read}]" + (f" + [pooled[i] for i in {op.pooled}]" if op.pooled else "")
    yield f"h = bank[{op.read[0]}]" if len(op.read) + len(op.pooled) == 1 else f"h = torch.cat({whole}, 1)"
    if row.entry is not None:
        entered = _call(row.entry, "h")
        yield f"h = {entered if row.pointwise is None and row.starts else _activated('relu', entered)}"
    if row.pointwise is not None:
        yield f"h = {_stage(row.pointwise, 'h')}"
    starts = [_activated(name, "h") for name in row.starts] or ["h", "h"]
    for p, path in enumerate(row.paths):
        for s, stage in enumerate(path):
            yield f"y{p} = {_stage(stage, f'y{p}' if s else starts[p])}"
    both = {"sum": "(y0 + y1)", "mean": "((y0 + y1) / 2)", "gate": "(torch.tanh(y0) * torch.sigmoid(y1))"}[op.meet]
    yield f"y = {'y0' if len(row.paths) == 1 else both}.split({width}, 1)"
    for position, bank in enumerate(op.write):
        written = f"y[{position % op.units}]"
        writes[bank] = writes.get(bank, 0) + 1
        if writes[bank] == 1:
            yield f"bank[{bank}] = {written}"
        elif op.join == "mean":  # of all writes so far
            yield f"bank[{bank}] = bank[{bank}] + ({written} - bank[{bank}]) / {writes[bank]}"
        else:
            yield f"bank[{bank}] = bank[{bank}] + {written}"


def _stage(stage: Stage, x: str) -> str:
    called = _call(stage.convolution, x)
    called = called if stage.norm is None else _call(stage.norm, called)
    return called if stage.nonlinearity is None else _activated(stage.nonlinearity, called)


def _activated(nonlinearity: str, x: str) -> str:
    return f"{'F.relu' if nonlinearity == 'relu' else f'torch.{nonlinearity}'}({x})"


def _path(name: str) -> str:
    """Where `Network` has a layer: block0.op1.conv0 is block0.op1_conv0, and stem.norm is stem_norm."""
    block, *rest = name.split(".")
    return "_".join([block, *rest]) if block == "stem" or not rest else f"{block}.{'_'.join(rest)}"


def _call(layer: Layer, x: str) -> str:
    return f"self.{_path(layer.name).split('.')[-1]}({x})"


def _attribute(layer: Layer) -> str:
    return f"self.{_path(layer.name).split('.')[-1]} = {_module(layer)}"


def _module(layer: Layer) -> str:
    axes = len(layer.size)
    if layer.kind == "norm":
        return f"nn.BatchNorm{axes}d({layer.outputs})"
    if layer.kind == "linear":
        return f"nn.Linear({layer.inputs}, {layer.outputs})"
    padding = tuple(d * (k - 1) // 2 for k, d in zip(layer.kernel, layer.dilation, strict=True))
    sizes = (layer.inputs, layer.outputs, layer.kernel, layer.stride, padding, layer.dilation, layer.groups)
    convolution: Any = {2: nn.Conv2d, 3: nn.Conv3d}[axes]
    return f"nn.{convolution(*sizes, bias=False, device='meta')!r}"


def _lines(lines: Iterable[str]) -> str:
    return "\n        ".join(lines)
