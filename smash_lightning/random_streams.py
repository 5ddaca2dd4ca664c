"""Random streams identified by a key, so that any step of a run can be repeated on its own."""

import hashlib
import random
from enum import Enum, unique

import torch


@unique
class Stream(Enum):
    """Every random stream of the package. Its values enter the seeds: a changed value changes published results."""

    ANALYSIS = "investigation"
    ARCHITECTURE = "architecture"
    AUGMENTATION = "augmentation"
    BASELINE_IMAGES = "rivals"
    BENCHMARK = "benchmark"
    BENCHMARK_IMAGES = "benchmark images"
    BENCHMARK_LABELS = "benchmark labels"
    BENCHMARK_NOISE = "benchmark noise"
    CANDIDATE = "candidate"
    CORRUPTION = "corruption"
    CUTOUT = "cutout"
    DIGITS = "digits"
    DROPPING = "dropping"
    GRADIENT = "gradient"
    HELD_OUT = "fixed"
    HYPERNET = "hypernet"
    LATENCY = "latency"
    LOADING = "loading"
    MEDIAN_SIZE = "median size"
    MIXING = "mixing"
    NOISE = "noise"
    ORDER = "order"
    PAIRS = "pairs"
    PROBE = "a first look"
    RACE_ORDER = "race order"
    RACING = "racing"
    RANDOM_GROUP = "random arm"
    RANDOM_PERTURBATIONS = "random perturbations"
    RANDOM_SCORE = "chance"
    RECALIBRATION = "recalibration"
    RECURRENT = "recurrent sampler"
    REPLAY = "replay"
    RETRAIN = "retrain"
    SCORE = "score"
    SCORE_NOISE = "score noise"
    SEARCH = "search"
    SIZE_RANGE = "range of sizes"
    SUBSETS = "subsets"
    TEST_SPLIT = "test split"
    VALIDATION = "validation"


Key = int | str | Stream


def rng(*key: Key) -> random.Random:
    """A generator of the standard library seeded by `key`: the same key gives the same draws in any process."""
    return random.Random(_number(key))


def generator(*key: Key, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of torch seeded by `key`."""
    return torch.Generator(device).manual_seed(_number(key))


def _number(key: tuple[Key, ...]) -> int:
    plain = tuple(part.value if isinstance(part, Stream) else part for part in key)
    return int.from_bytes(hashlib.blake2b(repr(plain).encode(), digest_size=8).digest(), "big") >> 1
