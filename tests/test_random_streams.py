import torch

from smash_lightning.random_streams import generator, rng


def test_equal_keys_give_equal_streams() -> None:
    assert rng("a", 1).random() == rng("a", 1).random()
    assert torch.equal(torch.rand(3, generator=generator("a", 1)), torch.rand(3, generator=generator("a", 1)))


def test_different_keys_give_different_streams() -> None:
    keys = [("a",), ("a", 1), ("a", "1"), ("a1",), ("a", 1, 0), (1,), (1, "a"), ()]
    assert len({rng(*key).random() for key in keys}) == len(keys)
    assert len({torch.rand((), generator=generator(*key)).item() for key in keys}) == len(keys)


def test_streams_are_the_same_in_every_process_and_release() -> None:
    assert rng("architecture", 0, 0).getrandbits(32) == 72255833, "a change redraws every saved run's architectures"
