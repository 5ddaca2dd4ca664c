from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from smash_lightning.report.page import (
    Drawing,
    Facts,
    Paragraphs,
    Part,
    Picture,
    Preformatted,
    Section,
    Table,
    report_page,
)

VOID = {"meta", "link", "img", "br", "hr"}
EVIL = """<script>alert("1")</script> & <b onclick='x'>"""
SVG = (
    '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 40"><title>t</title>'
    '<rect width="5" height="5" /></svg>\n'
)
NAN, INF = float("nan"), float("inf")
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def png(width: float = 3.0) -> bytes:
    file = io.BytesIO()
    Figure(figsize=(width, 1.0), dpi=100).savefig(file, format="png")
    return file.getvalue()


def example(text: str) -> str:
    rows = ((text, 0.123456, 3), ("bb", NAN, None))
    return report_page(
        text,
        [
            Section("", (Paragraphs((text, "A second one.")), Facts(((text, text), ("seeds", "3"))))),
            Section(
                text,
                (
                    Picture(png(), text, text),
                    Picture(png(), "no caption"),
                    Drawing(SVG.format(width=100), text, text),
                    Drawing(SVG.format(width=900), "another"),
                ),
            ),
            Section(
                "All figures",
                (
                    Table((text, "loss", "ops"), rows, text),
                    Table(("name", "loss", "ops"), rows, text, folded=True),
                    Preformatted(text, text),
                    Preformatted(f"seed: 0\n  note: {text}", text, folded=True),
                ),
            ),
        ],
    )


class Reader(HTMLParser):
    """Checks that what opens is closed, and keeps elements and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} stands there twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def part(part: Part) -> str:
    return part.html()


def cells(table: Table) -> list[list[str]]:
    lines = re.findall("<tr>(.*?)</tr>", table.html())[1:]
    return [re.findall("<td[^>]*>(.*?)</td>", line) for line in lines]


def test_page_is_balanced_html_with_the_summary_first() -> None:
    page = Reader(example("A title"))
    names = [name for name, _ in page.elements]
    assert page.elements[0] == ("html", {"lang": "en"})
    assert {name: names.count(name) for name in ("h1", "h2", "img", "svg", "table", "details")} == {
        "h1": 1,
        "h2": 2,
        "img": 2,
        "svg": 2,
        "table": 2,
        "details": 2,
    }
    assert names.index("h1") < names.index("p") < names.index("dl") < names.index("h2")
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_page_asks_for_nothing_from_anywhere() -> None:
    page = example("A title")
    reader = Reader(page)
    for tag, attributes in reader.elements:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), f"{tag} {name}"
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = [meta["content"] for meta in reader.all("meta") if meta.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_every_text_is_escaped() -> None:
    harmless, page = Reader(example("harmless")), Reader(example(EVIL))
    assert [name for name, _ in page.elements] == [name for name, _ in harmless.elements]
    assert page.text.count(EVIL) == harmless.text.count("harmless") > 8


def test_every_picture_can_be_heard() -> None:
    page = Reader(example("What it shows"))
    assert [image["alt"] for image in page.all("img")] == ["What it shows", "no caption"]
    drawings = [box for box in page.all("div") if box.get("class") == "drawing"]
    assert [(box["role"], box["aria-label"]) for box in drawings] == [("img", "What it shows"), ("img", "another")]
    assert all(box["aria-label"] for box in page.all("div") if box.get("class") == "scroll")


def test_pictures_and_drawings_keep_a_readable_size_in_a_box_that_scrolls() -> None:
    picture = Reader(part(Picture(png(10.0), "wide")))
    (image,) = picture.all("img")
    assert (image["width"], image["height"], image["style"]) == ("1000", "100", "min-width:400px")
    drawing = Reader(part(Drawing(SVG.format(width=900), "wide")))
    assert drawing.all("div")[0]["class"] == "scroll"
    assert drawing.all("div")[1]["style"] == "min-width:810px;max-width:1260px"
    assert "<?xml" not in part(Drawing(SVG.format(width=900), "wide"))


def test_numbers_stand_to_the_right_with_the_digits_of_their_column() -> None:
    rows = (
        ("aa", 0.1234567, 6.7, 12345, 1234.567, -0.5),
        ("bb", 0.05, 7.9, None, NAN, INF),
        ("", 0.2, 15.0, 7, 0.25, -INF),
    )
    table = Table(("name", "loss", "error", "params", "seconds", "gain"), rows, "A table")
    assert cells(table) == [
        ["aa", "0.1235", "6.7", "12,345", "1,234.6", f"{MINUS}0.5"],
        ["bb", "0.0500", "7.9", DASH, DASH, "∞"],
        ["", "0.2000", "15.0", "7", "0.2", f"{MINUS}∞"],
    ]
    sides = [heading.get("class") for heading in Reader(part(table)).all("th")]
    assert sides == [None, "number", "number", "number", "number", "number"]


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        ((0.0, 0.0), ["0", "0"]),
        ((NAN, INF), [DASH, "∞"]),
        ((1e-12, 0.0), ["0", "0"]),
        ((0.123456, 3e9, 0.25), ["0.1235", "3,000,000,000.0000", "0.2500"]),
        ((None, None), [DASH, DASH]),
        ((1, "one"), ["1", "one"]),
        ((0.57, 0.28), ["0.57", "0.28"]),
    ],
)
def test_odd_columns(column: tuple[float | str | None, ...], shown: list[str]) -> None:
    table = Table(("x",), tuple((value,) for value in column), "A table")
    assert [cell for (cell,) in cells(table)] == shown


def test_long_texts_wrap_and_short_ones_do_not() -> None:
    table = Table(("failure",), (("",), ("the loss was not finite after epoch three of eleven",)), "Failures")
    assert [cell.get("class") for cell in Reader(part(table)).all("td")] == [None, "long"]


def test_empty_table_is_a_table() -> None:
    assert cells(Table(("a", "b"), (), "Nothing yet")) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Picture(b"GIF89a", "a plot"), "'a plot' is not a PNG"),
        (Drawing("<svg", "a bank"), "'a bank' is not an svg"),
        (Drawing("<svg/>", "a bank"), "'a bank' is not an svg"),
        (Drawing("<svg viewBox='0 0'/>", "a bank"), "'a bank' is not an svg"),
        (Table(("a", "b"), ((1, 2), (3,)), "a table"), "'a table': a row of 1 for 2 columns"),
    ],
)
def test_wrong_parts_are_named(wrong: Part, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report_page("A title", [Section("", (wrong,))])
