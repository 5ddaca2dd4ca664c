"""Several sets of shared weights: mixed by a HyperNet, or one for each kind of op."""

import torch
import torch.nn.functional as F
from torch import nn

from smash_lightning.hypernet import MixtureHyperNet, SharedWeights
from smash_lightning.hypernet.shared import kind_of, kinds
from smash_lightning.network import Weights
from smash_lightning.random_streams import generator
from tests.cases import BARE_CASES, Case, every_bare_case
from tests.hypernet.kinds import of_case


def one_set(source: MixtureHyperNet | SharedWeights, case: Case, index: int) -> SharedWeights:
    """Plain weight sharing with one of the sets of a source."""
    shared: SharedWeights = of_case(SharedWeights, case)
    shared.pointwise = nn.ParameterList(matrix[index] for matrix in source.pointwise)
    of_ops = {name for name in source.shared if "/conv" in name and "norm" not in name}
    shared.shared = nn.ParameterDict({n: t[index] if n in of_ops else t for n, t in source.shared.items()})
    return shared


def equal(found: Weights, expected: Weights) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


@every_bare_case
def test_the_code_of_one_set_chooses_it(case: Case) -> None:
    source = of_case(MixtureHyperNet, case, sets=3)
    for seed in range(3):
        architecture = case.draw(seed)
        count = len(list(architecture.ops()))
        for index in range(3):
            found = source.mixed(architecture, F.one_hot(torch.full((count,), index), 3).float())
            assert equal(found, one_set(source, case, index)(architecture, None))


def test_coefficients_are_positive_of_norm_one_and_those_of_the_op() -> None:
    case = BARE_CASES["v1-2d"]
    source = of_case(MixtureHyperNet, case)
    architecture = case.draw(1)
    found = source.coefficients(architecture, source.encode(architecture), source.noise(architecture, generator("z")))
    assert found.shape == (len(list(architecture.ops())), 4)
    assert found.min() > 0
    assert len(found.unique(dim=0)) == len(found)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))


@every_bare_case
def test_ops_share_with_their_kind_alone(case: Case) -> None:
    source, known = of_case(SharedWeights, case, per_kind=True), kinds(case.space.limits)
    assert len(source.pointwise[0]) == len(known) == len(set(known)) > 1
    for seed in range(3):
        architecture = case.draw(seed)
        weights = source(architecture, None)
        for b, block in enumerate(architecture.blocks):
            for o, op in enumerate(block.ops):
                expected = one_set(source, case, known.index(kind_of(op, block.width)))(architecture, None)
                names = [name for name in weights if name.startswith(f"block{b}.op{o}.")]
                assert all(torch.equal(weights[name], expected[name]) for name in names)
        of_all = [name for name in weights if ".op" not in name]
        assert all(torch.equal(weights[name], expected[name]) for name in of_all)
