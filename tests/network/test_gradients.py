import torch
from torch import Tensor

from smash_lightning.network import nd
from smash_lightning.network.gradients import crop, unit_norm
from smash_lightning.random_streams import generator

REGIONS = (
    (slice(0, 2), slice(1, 4)),
    (slice(1, 4), slice(0, 5)),
    (slice(0, 4), slice(0, 5)),
    (slice(3, 4), slice(4, 5)),
)


def tensor(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator("tensor", *shape), dtype=torch.float64, requires_grad=True)


def test_crop_has_the_gradient_of_slicing() -> None:
    whole = tensor(4, 5)
    assert torch.autograd.gradcheck(lambda w: crop(w, REGIONS), [whole])
    pieces = crop(whole, REGIONS)
    assert all(torch.equal(piece, whole[region]) for piece, region in zip(pieces, REGIONS, strict=True))


def test_an_unused_piece_has_no_gradient() -> None:
    whole = tensor(4, 5)
    crop(whole, REGIONS)[0].sum().backward()
    expected = torch.zeros(4, 5, dtype=torch.float64)
    expected[REGIONS[0]] = 1
    assert torch.equal(whole.grad, expected)


def test_unit_norm_has_the_gradient_of_dividing_by_the_norm() -> None:
    tensors = (tensor(3, 2), tensor(4), tensor(2, 2, 3, 3))
    assert torch.autograd.gradcheck(lambda *t: unit_norm(t), tensors)
    for unit, whole in zip(unit_norm(tensors), tensors, strict=True):
        torch.testing.assert_close(unit, whole / whole.norm())
        torch.testing.assert_close(unit.norm(), torch.ones((), dtype=torch.float64))


def test_the_unit_of_zero_is_zero() -> None:
    nothing = torch.zeros(3, 3, requires_grad=True)
    (unit,) = unit_norm((nothing,))
    unit.sum().backward()
    assert (unit == 0).all()
    assert nothing.grad.isfinite().all()


def test_nonlinearities_change_no_view_in_place() -> None:
    for x in (2 * tensor(3, 4), (2 * tensor(3, 4)).mT):
        expected, view = x.detach().clamp(min=0), x._is_view()
        y = nd.nonlinear("relu", x)
        assert torch.equal(y, expected)
        assert y.grad_fn.name() == "ReluBackward0", "not CopySlices"
        assert (y is x) == (not view)
