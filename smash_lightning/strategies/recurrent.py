"""A recurrent sampler: an LSTM writes an architecture element by element.

The recurrent controller is that of Zoph and Le, Neural architecture search with reinforcement learning (ICLR 2017). It
is fitted by the cross-entropy method (Rubinstein 1999; de Boer et al. 2005), as few scores are known: by maximum
likelihood, to samples of the space first, and then for some passes to the best scored architectures.
"""

import copy
import random
from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from smash_lightning.architecture import Architecture, Block, Convolution, Limits, Op
from smash_lightning.option_types import Share
from smash_lightning.random_streams import Stream, rng
from smash_lightning.search_space import SearchSpace
from smash_lightning.search_space.memory_bank import architecture_of
from smash_lightning.strategies.base import History, Proposal, Strategy
from smash_lightning.strategies.sampler import op_decisions

Element = tuple[str, Hashable]  # kind and value
Choose = Callable[..., Any]  # from the kind of an element, and its possible values where not all are
WIDTH = 48  # of the LSTM and its embeddings
RATE = 0.01  # of Adam
BATCH = 32
PASSES = 20  # over the samples of the space
ATTEMPTS = 100  # architectures that are written until one is in the space


@dataclass(frozen=True)
class RecurrentSampler(Strategy):
    """Architectures written by an LSTM that is fitted to the best scored ones; a sample of the space where none fits.

    Impossible banks are masked; what violates another rule of the space is written anew. So many architectures as
    `concurrent` are written by the same LSTM, and are scored at the same time.
    """

    count: NonNegativeInt
    samples: PositiveInt
    elite: Share
    passes: PositiveInt
    concurrent: PositiveInt = 1
    name = "recurrent"
    sequential = True

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        ordered = sorted(history.scored, key=lambda candidate: candidate.smash_score)
        best = ordered[: max(1, round(self.elite * len(ordered)))]
        cached = CachedSpace(space, repr(space))
        writer = fitted(cached, self.samples, tuple(candidate.architecture for candidate in best), self.passes)
        for _ in range(ATTEMPTS):
            try:
                architecture = writer.write(space.limits, rng)
            except ValueError:  # values that are impossible together
                continue
            if space.contains(architecture):
                return architecture, ""
        return space.sample(rng), ""


def elements(architecture: Architecture, limits: Limits) -> list[Element]:
    """What describes an architecture, in the order in which `assemble` chooses it.

    Of each block its width, banks and number of ops; of each op its decisions, and the banks that it reads and writes.
    """
    found: list[Element] = []
    for b, block in enumerate(architecture.blocks):
        found += [(f"width of block {b}", block.width), (f"banks of block {b}", block.banks)]
        found.append((f"ops of block {b}", len(block.ops)))
        for op in block.ops:
            found += op_decisions(op).items()
            found += [("activation", op.activation)] if len(limits.activations) > 1 else []
            found += [("pooled", len(op.pooled))] if limits.pooled_reads and b else []
            for kind, banks in (("bank read", op.read), ("bank written", op.write), ("bank pooled", op.pooled)):
                found += [(kind, bank) for bank in banks]
    return found


def assemble(limits: Limits, choose: Choose) -> Architecture:
    """The architecture of chosen elements: the inverse of `elements`.

    Raises:
        ValueError: they are impossible together.
    """
    blocks: list[Block] = []
    for b, inputs in enumerate(limits.inputs):
        width = choose(f"width of block {b}")
        block = Block(width, inputs // width, (), blocks[-1].width if blocks and limits.pooled_reads else 0)
        banks = choose(f"banks of block {b}", range(block.inputs, limits.memory[b] // width + 1))
        before = blocks[-1].banks if block.pooled_width else 0
        for _ in range(choose(f"ops of block {b}")):
            block = replace(block, ops=(*block.ops, _assemble_op(limits, block, banks, before, choose)))
        blocks.append(block)
    return architecture_of(blocks)


def _assemble_op(limits: Limits, block: Block, banks: int, before: int, choose: Choose) -> Op:
    filled = block.banks
    reads = choose("read", range(1, filled + 1))
    units = choose("units", range(1, limits.max_outputs // block.width + 1))
    available = filled + min(units, banks - filled)
    writes = choose("write", range(units, available + 1))
    lengths = choose("paths")
    meet = choose("meet", None if len(lengths) > 1 else ["sum"])

    def convolution(p: int, s: int) -> Convolution:
        names = ("kernel", "dilation", "groups", "nonlinearity")
        return Convolution(*(choose(f"convolution {p} {s} {name}") for name in names))

    def ascending(kind: str, count: int, filled: int, available: int) -> tuple[int, ...]:
        chosen: list[int] = []
        for left in range(count, 0, -1):
            first = chosen[-1] + 1 if chosen else 0
            # The others must still fit, and new banks are filled in order.
            chosen.append(choose(kind, range(first, min(available - left, max(filled, first)) + 1)))
        return tuple(chosen)

    paths = tuple(tuple(convolution(p, s) for s in range(length)) for p, length in enumerate(lengths))
    activation = choose("activation") if len(limits.activations) > 1 else limits.activations[0]
    pooled = choose("pooled", range(before + 1)) if block.pooled_width else 0
    read, write = ascending("bank read", reads, filled, filled), ascending("bank written", writes, filled, available)
    op = Op(
        read, write, units, None, paths, activation, meet=meet, pooled=ascending("bank pooled", pooled, before, before)
    )
    return replace(op, bottleneck=limits.bottleneck_channels(block.channels_read(op), units * block.width))


class Writer(nn.Module):
    """An LSTM whose input is the last element and the kind of the next one, and whose output is its distribution."""

    def __init__(self, known: Sequence[Sequence[Element]]) -> None:
        super().__init__()
        names = dict.fromkeys(element for described in known for element in described)
        self.tokens = {element: token for token, element in enumerate(names, start=1)}  # 0 is any other one
        self.kinds = {kind: index for index, kind in enumerate(dict.fromkeys(kind for kind, _ in names))}
        self.values: dict[str, list[tuple[int, Any]]] = {kind: [] for kind in self.kinds}
        for (kind, value), token in self.tokens.items():
            self.values[kind].append((token, value))
        self.token, self.kind = nn.Embedding(len(names) + 1, WIDTH), nn.Embedding(len(self.kinds), WIDTH)
        self.lstm, self.head = nn.LSTM(WIDTH, WIDTH, batch_first=True), nn.Linear(WIDTH, len(names) + 1)

    def forward(self, last: Tensor, kind: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits (architectures, elements, tokens) of the next elements, and the state, for tokens and kinds."""
        hidden, state = self.lstm(self.token(last) + self.kind(kind), state)
        return self.head(hidden), state

    def fit(self, known: Sequence[Sequence[Element]], passes: int, order: random.Random) -> "Writer":
        """Maximizes the likelihood of these architectures; elements without a token are left out of it."""
        tokens = [torch.tensor([self.tokens.get(element, 0) for element in described]) for described in known]
        kinds = [torch.tensor([self.kinds.get(kind, 0) for kind, _ in described]) for described in known]
        target, kind = pad_sequence(tokens, batch_first=True), pad_sequence(kinds, batch_first=True)
        last = F.pad(target, (1, -1))
        possible = torch.zeros(len(self.kinds), len(self.tokens) + 1, dtype=torch.bool)
        for name, values in self.values.items():
            possible[self.kinds[name], [token for token, _ in values]] = True
        optimizer, positions = torch.optim.Adam(self.parameters(), RATE), list(range(len(known)))
        for _ in range(passes):
            order.shuffle(positions)
            for rows in torch.tensor(positions).split(BATCH):
                logits = self(last[rows], kind[rows])[0].masked_fill(~possible[kind[rows]], -torch.inf)
                # Token 0 has the logit -inf, and is ignored.
                loss = F.cross_entropy(logits.flatten(0, 1), target[rows].flatten(), ignore_index=0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self

    @torch.no_grad()
    def write(self, limits: Limits, rng: random.Random) -> Architecture:
        """A random architecture, which may violate rules of the space; ValueError where it is none."""
        last, state = 0, None

        def choose(kind: str, possible: Container[Any] | None = None) -> Any:
            nonlocal last, state
            logits, state = self(torch.tensor([[last]]), torch.tensor([[self.kinds[kind]]]), state)
            values = [pair for pair in self.values[kind] if possible is None or pair[1] in possible]
            if not values:
                raise ValueError(f"no value of {kind} is possible")
            weights = logits[0, 0, [token for token, _ in values]].softmax(0)
            ((last, value),) = rng.choices(values, weights.tolist())
            return value

        return assemble(limits, choose)


@dataclass(frozen=True)
class CachedSpace:
    """A space that is found in a cache by its text, as it may hold lists."""

    space: SearchSpace = field(compare=False)
    text: str


@lru_cache(maxsize=4)
def fitted_to_samples(cached: CachedSpace, samples: int) -> Writer:
    """A writer fitted to samples of a space."""
    stream, space = rng(Stream.RECURRENT, samples), cached.space
    drawn = [elements(space.sample(stream), space.limits) for _ in range(samples)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        writer = Writer(drawn)
    return writer.fit(drawn, PASSES, stream)


@lru_cache(maxsize=4)
def fitted(cached: CachedSpace, samples: int, best: tuple[Architecture, ...], passes: int) -> Writer:
    """The writer of a space, fitted to the best architectures in addition."""
    writer = copy.deepcopy(fitted_to_samples(cached, samples))
    described = [elements(architecture, cached.space.limits) for architecture in best]
    return writer.fit(described, passes, rng(Stream.RECURRENT, len(best))) if best else writer
