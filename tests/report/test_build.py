"""Pictures and page come from the files of a run folder alone; the page needs no network and no script."""

import base64
import json
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from smash_lightning.evaluation.correlation import correlate
from smash_lightning.report.build import build
from smash_lightning.report.run_data import architectures, fitted_line, read_run, scatter_frame, settling_frames
from tests.evaluation.study_tables import study
from tests.report.small_run import CONFIG, tables, write_run

PICTURES = ["correlation.png", "baselines.png", "pareto.png", "settling.png", "architecture.svg", "report.html"]
EVIL = """</script><script>alert("1")</script> & <b onclick='x'>"""
VOID = {"meta", "link", "img"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps elements and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self.elements[-1][1].get("id") or str(len(self.scripts))] = data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(run: Path) -> Reader:
    return Reader((run / "report.html").read_text(encoding="utf-8"))


def test_the_first_section_has_verdict_next_steps_and_scatter(page: Reader, run: Path) -> None:
    assert all((run / name).stat().st_size > 1000 for name in PICTURES)
    names = [tag for tag, _ in page.elements]
    assert names.index("h1") < names.index("h2") < names.index("p") < names.index("li") < names.index("figure")
    assert names[: names.index("figure")].count("p") == 3
    assert [figure["data-figure"] for figure in page.all("figure") if "data-figure" in figure] == [
        *("correlation", "baselines", "settling", "pareto")
    ]
    for words in ("SMASH on digits", "Retrain these", "Spearman 0.60 [0.45, 0.75]", "100 training, 40 validation"):
        assert words in page.text


def test_the_page_requests_nothing(page: Reader) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), f"{tag} {name}"
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_every_chart_is_a_picture_that_scripts_replace_and_every_architecture_has_a_drawing(
    page: Reader, run: Path
) -> None:
    pictures = page.all("img")
    assert len(pictures) == 4
    assert all(picture["alt"] and picture["class"] == "static" for picture in pictures)
    svg = base64.b64decode((pictures[0]["src"] or "").split(",")[1]).decode()
    assert "test loss after training (nats), mean of 2 seeds" in svg
    assert sum("vegaEmbed=" in script.replace(" ", "") for script in page.scripts.values()) == 1
    assert json.loads(page.scripts["specifications"]).keys() == {"correlation", "baselines", "settling", "pareto"}
    drawings = json.loads(zlib.decompress(base64.b64decode(page.scripts["drawings"])))
    assert drawings.keys() == set(pd.read_csv(run / "ranking.csv")["fingerprint"])
    assert all(svg.startswith("<svg") and name in svg for name, svg in drawings.items())


def test_texts_of_the_run_are_escaped_and_a_study_without_a_verdict_has_a_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "correlation.json").write_text(correlate(*study(3, 1, 2), bootstrap=200).to_json())
    data = json.loads((folder / "data.json").read_text())
    (folder / "data.json").write_text(json.dumps(data | {"name": EVIL, "classes": [EVIL, "b"], "notes": [EVIL]}))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | {"note": EVIL}))
    ranking = pd.read_csv(folder / "ranking.csv").assign(strategy=EVIL)
    ranking.to_csv(folder / "ranking.csv", index=False)
    build(folder)
    page = Reader((folder / "report.html").read_text(encoding="utf-8"))
    assert page.text.count(EVIL) > 10
    assert "it <failed> & ended" in page.text
    assert not [1 for tag, attributes in page.elements if tag == "b" or "onclick" in attributes]
    assert "No verdict: 3 architectures" in page.text
    assert "differs in mean test loss (nats) from all by nothing known by SMASH score, nothing known by" in page.text


def test_a_run_that_builds_on_another_finds_its_tables_there(tmp_path: Path) -> None:
    source = write_run(tmp_path / "source")
    later = tmp_path / "later"
    later.mkdir()
    (source / "correlation.json").rename(later / "correlation.json")
    (later / "config.yaml").write_text(yaml.safe_dump(CONFIG | {"source_run": str(source)}))
    (source / "settling.csv").unlink()
    build(later)
    assert {path.name for path in later.iterdir()} == {*PICTURES, "config.yaml", "correlation.json"} - {"settling.png"}
    assert {path.name for path in source.iterdir()} == {
        *("architectures.jsonl", "baselines.csv", "config.yaml", "data.json", "ranking.csv", "retrained.csv")
    }


def test_a_missing_file_is_named_and_an_earlier_version_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    ranking = pd.read_csv(folder / "ranking.csv").rename(columns={"strategy": "origin"})
    ranking.to_csv(folder / "ranking.csv", index=False)
    with pytest.raises(ValueError, match="earlier version"):
        build(folder)
    for name, message in (
        ("retrained.csv", "retrained"),
        ("ranking.csv", "ranking"),
        ("correlation.json", "correlate"),
        ("data.json", "data.json"),
    ):
        write_run(tmp_path)
        (folder / name).unlink()
        with pytest.raises(ValueError, match=message):
            build(tmp_path)


def test_the_frame_of_the_scatter_joins_means_and_groups(run: Path) -> None:
    table, (_, ranking, retrained, _) = architectures(read_run(run)), tables()
    assert len(table) == len(ranking)
    points = scatter_frame(table).set_index("fingerprint", drop=False)
    means = retrained.groupby("fingerprint")[["shortlist", "stratified", "true_loss"]].mean()
    assert set(points.index) == set(means.index)
    labels = {(1, 0): "shortlist", (1, 1): "sample and shortlist", (0, 1): "sample"}
    assert points["group"].to_dict() == {row.Index: labels[row.shortlist, row.stratified] for row in means.itertuples()}
    assert points["y"].to_dict() == pytest.approx(means["true_loss"].to_dict())
    first = retrained[retrained["fingerprint"] == retrained["fingerprint"][0]]["true_loss"]
    assert points["standard_error"][retrained["fingerprint"][0]] == pytest.approx(first.sem())
    last = points.loc[retrained["fingerprint"].iloc[-1]]
    assert (last["seeds"], np.isnan(last["standard_error"])) == (1, True), "a failed training does not count"
    line = fitted_line(points, seed=0)
    assert line is not None
    sample = points[points["group"].astype(str) != "shortlist"]
    slope, start = np.polyfit(sample["x"], sample["y"], 1)
    assert np.allclose(line["y"], start + slope * line["x"])
    assert (line["low"] <= line["y"]).all()
    assert (line["y"] <= line["high"]).all()
    assert fitted_line(points[:6], seed=0) is None, "too few of the sample"


def test_settling_ranks_what_is_not_finite_last() -> None:
    rows = [(0, epoch, f"{i}", np.inf if (i, epoch) == (0, 1) else i + 1.0) for epoch in (1, 2) for i in range(6)]
    frame = pd.DataFrame(rows, columns=["hypernet", "epoch", "fingerprint", "val_loss"])
    found = settling_frames(frame)
    assert found is not None
    losses, order = found
    assert len(losses) == 11
    assert losses[losses["epoch"] == 2]["last_rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert order["value"].iloc[-1] == 1
    assert order["low"].iloc[0] < order["value"].iloc[0] < order["high"].iloc[0] < 1
    assert settling_frames(frame[frame["epoch"] == 1]) is None


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_every_chart_within_the_screen_and_loads_nothing(run: Path, tmp_path: Path) -> None:
    probe = (
        "<script>setTimeout(() => {document.title = [document.querySelectorAll('.live .interactive svg').length,"
        "document.documentElement.scrollWidth, performance.getEntriesByType('resource').length].join(' ')}, 3000)"
        "</script>"
    )
    page = tmp_path / "page.html"
    before, end, after = (run / "report.html").read_text().rpartition("</body>")
    page.write_text(before + probe + end + after)
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=20000"]
    own = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,800"]
    command = [str(CHROMIUM), *options, *own, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout)
    assert found is not None
    assert [int(number) for number in found.groups()] == [4, 500, 0]
