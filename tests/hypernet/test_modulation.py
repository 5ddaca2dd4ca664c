"""What the HyperNet says of learned tensors, against a slow loop over ops and blocks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import GeneratedWeights
from smash_lightning.hypernet.modulation import PARTS, Modulation
from smash_lightning.network import UseBatchStatistics, forward
from smash_lightning.random_streams import generator
from tests.cases import BARE_CASES, Case, every_bare_case

every_choice = pytest.mark.parametrize("parts", [("kernels",), ("norms",), PARTS], ids="+".join)


def generated(case: Case, parts: Sequence[str], *, moved: bool) -> GeneratedWeights:
    """A tiny HyperNet with a say in `parts`, at its beginning or `moved` from there."""
    source = GeneratedWeights(
        case.encoding,
        case.space.image_spec,
        width=None,
        depths=(2, 1),
        growth=4,
        noise=False,
        modulate=parts,
        generator=generator("modulation"),
    ).double()
    if moved and source.modulation is not None:
        for parameter in source.modulation.parameters():
            nn.init.normal_(parameter, generator=generator("moved"))
    return source


def slow_modulation(
    source: GeneratedWeights, architecture: Architecture, plain: dict[str, Tensor]
) -> dict[str, Tensor]:
    """`plain` weights, modulated cell by cell and convolution by convolution."""
    modulation, limits, weights = source.modulation, source.encoding.limits, dict(plain)
    assert modulation is not None
    grid = source.hypernet(source.encode(architecture), None)[0]
    places = iter(source.encoding.spans(architecture))
    for b, block in enumerate(architecture.blocks):
        summaries = []
        for o, op in enumerate(block.ops):
            place = next(places)
            cells = [grid[:, r, s] for r in range(place.rows) for s in range(place.first, place.last)]
            summaries.append(torch.stack(cells).mean(0))
            if modulation.kernels is None:
                continue
            gains = modulation.kernels.weight @ summaries[-1]
            for p, path in enumerate(op.paths):
                for s in range(len(path)):
                    name = f"block{b}.op{o}.conv{2 * p + s}.weight"
                    first = (2 * p + s) * limits.max_outputs
                    filters = [f * (1 + gains[first + channel]) for channel, f in enumerate(plain[name])]
                    weights[name] = torch.stack(filters)
        if modulation.norms is not None:
            said = modulation.norms.weight @ torch.stack(summaries).mean(0)
            gain, shift = said[: block.channels], said[max(limits.memory) :][: block.channels]
            weights[f"block{b}.norm.weight"] = plain[f"block{b}.norm.weight"] * (1 + gain)
            weights[f"block{b}.norm.bias"] = plain[f"block{b}.norm.bias"] + shift
    return weights


@every_choice
@every_bare_case
def test_it_begins_as_nothing(case: Case, parts: Sequence[str]) -> None:
    with_it, without = generated(case, parts, moved=False), generated(case, (), moved=False)
    for seed in range(5):
        architecture = case.draw(seed)
        ours, plain = with_it(architecture, None), without(architecture, None)
        assert ours.keys() == plain.keys()
        assert all(torch.equal(ours[name], plain[name]) for name in plain)


@every_choice
@every_bare_case
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32))
def test_weights_and_gradients_are_the_slow_ones(case: Case, parts: Sequence[str], seed: int) -> None:
    source, architecture = generated(case, parts, moved=True), case.draw(seed)
    ours = dict(source(architecture, None))
    modulation, source.modulation = source.modulation, None
    plain = dict(source(architecture, None))
    source.modulation = modulation
    theirs = slow_modulation(source, architecture, plain)
    assert ours.keys() == theirs.keys()
    chance, sums = generator("direction", seed), [torch.zeros(()), torch.zeros(())]
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name])
        direction = torch.randn(weight.shape, generator=chance)
        sums = [total + (each[name] * direction).sum() for total, each in zip(sums, (ours, theirs), strict=True)]
    changed = {name for name, weight in ours.items() if not torch.equal(weight, plain[name])}
    spoken_of = {"kernels": ".conv", "norms": ".norm."}
    wanted = {name for name in plain if any(spoken_of[part] in name for part in parts)}
    assert changed == wanted, "all that is spoken of changes, and nothing else"
    parameters = list(source.parameters())
    gradients = [torch.autograd.grad(total, parameters, allow_unused=True) for total in sums]
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@every_choice
def test_the_first_step_moves_it(parts: Sequence[str]) -> None:
    case = BARE_CASES["v2-2d"]
    source = generated(case, parts, moved=False).float()
    x = torch.randn(4, 3, 8, 8, generator=generator("x"))
    for seed in range(20):
        architecture = case.draw(seed)
        logits = forward(
            architecture, source.image_spec, source(architecture, None), x, UseBatchStatistics(), op_norm=False
        )
        logits.square().sum().backward()
    assert isinstance(source.modulation, Modulation)
    gradients = {name: parameter.grad for name, parameter in source.modulation.named_parameters()}
    assert set(gradients) == {f"{part}.weight" for part in parts}
    assert all(gradient is not None and gradient.any() for gradient in gradients.values())


def test_a_kernel_is_scaled_by_what_is_said_of_its_own_op() -> None:
    """Two ops of a block share a kernel, and yet have gains of their own."""
    case = BARE_CASES["v1-2d"]
    source = generated(case, ("kernels",), moved=True)
    architecture = next(a for a in map(case.draw, range(50)) if len(a.blocks[0].ops) > 1)
    weights = source(architecture, None)
    first, second = (weights[f"block0.op{o}.conv0.weight"] for o in (0, 1))
    outputs, inputs = (min(a, b) for a, b in zip(first.shape[:2], second.shape[:2], strict=True))
    ratios = first[:outputs, :inputs] / second[:outputs, :inputs]
    torch.testing.assert_close(ratios, ratios[:, :1, :1, :1].expand_as(ratios))
    assert not torch.allclose(ratios, torch.ones_like(ratios))
