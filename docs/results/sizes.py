"""Sizes of the networks that the paper's experiments draw at full size: python docs/results/sizes.py > FILE.json.

It takes a minute of one core; docs/results/networks.md has the table, next to the published networks.
"""

import sys
from typing import Any

import hydra
import numpy as np
from collect import markdown, record

from smash_lightning.architecture import ImageSpec, cost, layers
from smash_lightning.configuration import CONF
from smash_lightning.configuration.build import instantiate
from smash_lightning.random_streams import rng

DRAWS, SHARES = 200, (0, 0.1, 0.5, 0.9, 1)
CIFAR, STL10, IMAGENET32 = ImageSpec(3, (32, 32), 10), ImageSpec(3, (96, 96), 10, 2), ImageSpec(3, (32, 32), 1000)
DIGITS = (("parameters", 1), ("layers", 0), ("macs", 1))
# By options: images, million parameters and layers of the published network. The last two are the authors' code.
PUBLISHED = {
    "experiment=table1_smashv1": (CIFAR, 4.6, 116),
    "experiment=table1_smashv2": (CIFAR, 16.0, 211),
    "experiment=table2_smashv2": (STL10, 16.2, None),
    "experiment=table2_smashv2_3x3": (STL10, 4.38, None),
    "experiment=table3_smashv2": (IMAGENET32, 16.2, None),
    "search_space=smashv1_code": (CIFAR, 4.6, 116),
    "search_space=smashv2_code": (CIFAR, 16.0, 211),
}


def figures(options: str, spec: ImageSpec) -> dict[str, list[float]]:
    """Quantiles of million parameters, layers and billion multiply-accumulates of annealed draws."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        space = instantiate(hydra.compose("config", [options]).search_space, "search_space")(image_spec=spec)
    drawn = [space.sample(rng("sizes", index)) for index in range(DRAWS)]
    costs = [cost(architecture, spec) for architecture in drawn]
    convolutions = [sum(layer.kind != "norm" for layer in layers(each, spec, op_norm=False)) for each in drawn]
    columns = {"parameters": [one.params / 1e6 for one in costs], "layers": convolutions}
    columns["macs"] = [one.macs / 1e9 for one in costs]
    return {name: np.quantile(column, SHARES).round(3).tolist() for name, column in columns.items()}


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown: medians and ranges."""
    rows = []
    for options, row in found.items():
        _, millions, depth = PUBLISHED[options]
        cells = [
            f"{row[name][2]:.{digits}f} ({row[name][0]:.{digits}f} to {row[name][-1]:.{digits}f})"
            for name, digits in DIGITS
        ]
        rows.append([f"`{options}`", cells[0], millions, cells[1], depth or "-", cells[2]])
    return markdown(["options", "parameters, millions", "published", "layers", "published", "MACs, billions"], rows)


if __name__ == "__main__":
    made = {options: figures(options, spec) for options, (spec, *_) in PUBLISHED.items()}
    print(table(made), file=sys.stderr)
    print(record(["python docs/results/sizes.py"], {f"{DRAWS} draws": made}))
