"""Documentation: its Python examples run, its links lead somewhere, and every room has a page."""

import ast
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("**/*.md"))]
IMAGE = re.compile(r'<img src="([^"]+)"')
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def examples(page: Path) -> list[str]:
    return EXAMPLE.findall(page.read_text())


def mine(page: Path) -> ModuleType:
    """The examples of a page as one module, without those that need a finished run."""
    module = ModuleType("mine")
    sys.modules["mine"] = module
    for example in examples(page):
        if '"FOLDER"' not in example:
            exec(compile(example, str(page), "exec"), module.__dict__)
    return module


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=names)
def test_examples_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mine", ModuleType("mine"))
    module = mine(page)
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == "mine":
            assert not getattr(value, "__abstractmethods__", None), f"{value.__name__} does not implement everything"
    named = re.findall(r"_target_[=:] ?mine\.(\w+)", page.read_text())
    assert all(hasattr(module, name) for name in named), "a command names a class that the page does not define"


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=names)
def test_examples_use_public_names(page: Path) -> None:
    """Every name that an example imports, or takes from the package, is there."""
    for example in examples(page):
        tree = ast.parse(example)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("smash_lightning"):
                module: Any = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "smash":
                public = getattr(importlib.import_module("smash_lightning"), "__all__", None)
                assert public is None or node.attr in public


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page: Path) -> None:
    """Of pages that are read as they are; `mkdocs build --strict` checks anchors as well."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    missing = [link for link in [*LINK.findall(text), *IMAGE.findall(text)] if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`([a-z_/]+/[a-z_0-9.]+\.(?:py|jinja))`", page.read_text()):
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "smash_lightning")), name


def test_every_room_has_a_page_of_the_reference() -> None:
    rooms = {path.parent.name for path in (ROOT / "smash_lightning").glob("*/__init__.py")}
    listed = {page.stem for page in (DOCS / "reference").glob("*.md")}
    assert listed == rooms | {"index", "run_folder", "options", "public"}


def test_every_group_of_the_configuration_is_documented() -> None:
    page = (DOCS / "reference" / "options.md").read_text()
    for path in sorted((ROOT / "conf").glob("*/*.yaml")):
        row = next((line for line in page.splitlines() if line.startswith(f"| `{path.parent.name}` |")), "")
        analysis = path.parent.name == "task" and f"`{path.stem}`" in (DOCS / "evaluation.md").read_text()
        assert analysis or f"`{path.stem}`" in row, f"conf/{path.parent.name}/{path.name}"
