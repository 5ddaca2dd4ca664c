"""One self-contained HTML page: no request to anywhere, readable without scripts, escaped, for phone and desktop."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import vl_convert

from smash_lightning.report.labels import decimals_for, templates
from smash_lightning.report.verdict import sentences, summary

DIGITS = 4  # significant ones of a column's middle value
DASH = "\N{EN DASH}"


def render(
    template: str, title: str, charts: Mapping[str, Any], drawings: Mapping[str, str] | None = None, **content: Any
) -> str:
    """The page as text, to be written in UTF-8, with charts given by their specifications."""
    environment = templates(autoescape=True)
    environment.filters |= {
        "columns": columns,
        "drawing_width": lambda svg: round(1.25 * float(svg.split('viewBox="0 0 ', 1)[1].split()[0])),
        "sentences": sentences,
        "summary": summary,
    }
    # Vega, Vega-Lite and Vega-Embed in one script, of the version that draws the static pictures.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub requires a snippet
    return environment.get_template(template).render(
        title=title,
        specifications=charts,
        pictures={name: _base64(vl_convert.vegalite_to_svg(one).encode()) for name, one in charts.items()},
        vega=bundle.replace("</script", "<\\/script"),
        drawings=_base64(zlib.compress(json.dumps(dict(drawings or {})).encode(), 9)),
        **content,
    )


def columns(frame: pd.DataFrame) -> list[tuple[str, bool, list[str]]]:
    """Each column's heading, whether it is numeric, and its cells as text.

    Numbers have as many decimals as give the middle one four digits; None and NaN are a dash.
    """
    return [(str(name), *_cells(column)) for name, column in frame.items()]


def _cells(column: pd.Series) -> tuple[bool, list[str]]:
    present = column.dropna()
    if not len(present) or any(isinstance(value, str) for value in present):
        return False, [DASH if value is None or value != value else str(value) for value in column]
    numbers = column.astype(float)
    finite = numbers[np.isfinite(numbers)]
    decimals = decimals_for(finite.abs(), DIGITS) if (finite % 1 != 0).any() else 0
    texts = (f"{number:,.{decimals}f}".replace("-", "\N{MINUS SIGN}") for number in numbers)
    return True, [text.replace("inf", "\N{INFINITY}").replace("nan", DASH) for text in texts]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
