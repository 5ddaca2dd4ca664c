"""What planning a search step costs its process: python docs/results/host_time.py > docs/results/host_time.json.

`within`: draw, fingerprint, encoding c and index tables, as where a step makes them itself; `ahead`: reading the same
from another process. CPU milliseconds, medians over architectures of the end of training; all else in a step is equal.
"""

import pickle
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import hydra
from collect import record

from smash_lightning.architecture import ImageSpec
from smash_lightning.configuration import CONF
from smash_lightning.configuration.build import hypernet_specification, instantiate
from smash_lightning.network.banks import tables
from smash_lightning.training.planning import Draw, make_plan

STEPS, SPEC = 100, ImageSpec(3, (32, 32), 10)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and CPU milliseconds of this thread."""
    started = time.thread_time()
    result = call()
    return result, 1e3 * (time.thread_time() - started)


def times(*options: str) -> dict[str, float]:
    """Milliseconds of a plan, and of reading it."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", [*options])
    space = instantiate(config.search_space, "search_space")(image_spec=SPEC)
    source = hypernet_specification(config.hypernet).build(space, 0)
    draw = pickle.dumps(Draw(space, 0, STEPS, 1, frozenset(), (tables, *source.tables())))
    rows = []
    for index in range(STEPS):
        plan, within = timed(partial(make_plan, draw, STEPS - 1, index))
        rows.append((within, timed(partial(pickle.loads, pickle.dumps(plan)))[1]))
    within, ahead = (median(column) for column in zip(*rows, strict=True))
    return {"n": STEPS, "within": within, "ahead": ahead}


if __name__ == "__main__":
    pairs = [(f"search_space={space}", "hypernet=paper") for space in ("smashv1_code", "smashv2_code")]
    found = {" ".join(pair): times(*pair) for pair in pairs}
    print(record(["python docs/results/host_time.py"], {"plans": found}))
