"""Sizes and test results of given architectures, such as presets, and of those that the score found."""

import pandas as pd

from smash_lightning.architecture import cost
from smash_lightning.report.run_data import RunData, trained_architectures

MEASURES = {"true_error": "test error, %", "true_loss": "test loss, nats"}
HEADINGS = {"params": "parameters", "macs": "MACs", "seeds": "trainings"}
DECIMALS = {"test error, %": 2, "test loss, nats": 4}


def trained_networks(run: RunData, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `run_data.architectures` with trainings, and such rows of given architectures without a score."""
    trained = trained_architectures(run)
    others = trained[~trained.index.isin(table["fingerprint"]) & trained.index.isin(run.architectures)]
    if others.empty:
        return table[table["seeds"].gt(0)]
    sizes = [cost(run.architectures[name], run.image_spec) for name in others.index]
    others = others.assign(**{name: [getattr(size, name) for size in sizes] for name in ("params", "macs", "ops")})
    others = others.rename_axis("fingerprint").reset_index().assign(strategy="", chosen="preset")
    return pd.concat([table[table["seeds"].gt(0)], others], ignore_index=True)


def comparison(run: RunData, networks: pd.DataFrame) -> pd.DataFrame:
    """The found network, the mean of the shortlist, and each given network, for readers; empty without given ones.

    The found network is the one with the lowest score of those that were trained: choosing by test results would make
    them too low. SD is the standard deviation over the seeds; the shortlist has none.

    Args:
        run: the files of the run.
        networks: see `trained_networks`.
    """
    given, shortlist = networks[networks["preset"].gt(0)], networks[networks["shortlist"].gt(0)]
    if given.empty:
        return given
    names, found = run.names, networks.dropna(subset="smash_score").nsmallest(1, "smash_score")
    parts = [found.assign(network="found: " + found["fingerprint"])]
    if len(shortlist):
        means = shortlist[[*HEADINGS, *MEASURES]].astype(float).mean().to_frame().T
        parts.append(means.assign(network=f"shortlist, mean of {len(shortlist)}"))
    parts.append(given.assign(network=[names.get(name, name) for name in given["fingerprint"]]))
    rows = pd.concat(parts, ignore_index=True)
    shown = rows[["network", *HEADINGS]].rename(columns=HEADINGS)
    for column, heading in MEASURES.items():
        shown[heading], shown[f"SD of {heading}"] = rows[column].astype(float), rows[f"{column}_sd"]
    return shown


def comparison_text(comparison: pd.DataFrame) -> str:
    """The same as lines for a terminal."""
    formats = {heading: "{:,.0f}".format for heading in HEADINGS.values()}
    for heading, decimals in DECIMALS.items():
        formats |= dict.fromkeys((heading, f"SD of {heading}"), f"{{:.{decimals}f}}".format)
    return comparison.to_string(index=False, formatters=formats, na_rep="-")
