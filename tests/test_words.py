"""One word for one thing: words that the project does not use, in names, comments, documentation and configuration.

`python tests/test_words.py [PATH ...]` prints every line that has one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("smash_lightning", "conf", "docs", "examples", "tests", "run.py", "README.md")
SUFFIXES = {".py", ".yaml", ".md", ".jinja", ".html", ".toml", ".ipynb"}

# A word as it is found within names too: `strange_chance`, `StrangeChance`. What to write instead is behind it.
WORDS = {
    "rival rivals": "baseline",
    "contest contests contestant contestants": "comparison, predictor",
    "told tell tells telling": "what is returned, printed, distinguished, given",
    "ask asks asked asking": "calls, requests, needs",
    "chance": "random, rng",
    "arm arms": "group",
    "deviation deviations": "std",
    "skeleton": "image_spec",
    "alike": "similar, size_matched",
    "brick bricks wall": "tile, tile_grid",
    "whoever": "the process that",
    "hear hears heard": "receives",
    "speak speaks": "",
    "beside": "next to, besides",
    "misinformed": "corrupted",
    "relay": "queue",
    "settle settles settled": "converge, set_local_rank",
    "stands": "is",
    "pick picks picked": "proposal, choice",
}
PHRASES = {
    r"(?<!ground )(?<!ground_)(?<!ground-)\btruths?\b|(?<!ground)_truths?\b": "ground truth",
    r"ordinary (training|network|weight|model)s?|trained (normally|ordinarily)|free weights?": "standalone",
    r"\bfree_weights?\b|\bFreeNetwork\b|\bSmashModule\b|\bFixedModule\b": "StandaloneNetwork, HyperNetModule, RetrainModule",
    r"\blies\b|\blie (in|within|between|on|at|outside|inside|from)\b": "is, are",
    r"leaves? (it )?behind|\btakes? over\b|\btake_over\b|\bhear_again\b|\basked_to_stop\b": "",
    r"may be believed|may believe|can(not)? be told|score_minus_it|(?<!partial_)given_params": "",
    r"\b(class|import) (Looks|Material|Setting|Figures|Entry|Pick|Key)\b|\bMaterial\b|\bmaterial\b": "ReportData, ScoringData, ...",
}
# Where such a word is somebody else's, or fixed by published results.
ALLOWED = {
    "tests/test_words.py": None,  # the list itself
    "smash_lightning/evaluation/tables.py": {"rival", "rivals", "arm"},  # columns and a file of the first version
    "smash_lightning/random_streams.py": {"rivals", "arm", "chance"},  # values that enter seeds
}
FORBIDDEN = {word for words in WORDS for word in words.split()}
TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
PHRASE = re.compile("|".join(f"(?:{phrase})" for phrase in PHRASES))
ACCEPTED = re.compile(r"standard[ -]deviation")


def files() -> Iterator[Path]:
    for room in ROOMS:
        path = ROOT / room
        found = path.rglob("*") if path.is_dir() else [path]
        yield from sorted(file for file in found if file.is_file() and file.suffix in SUFFIXES)


def hits(path: Path) -> list[str]:
    """Lines of a file that have a forbidden word, with that word in front."""
    name = path.relative_to(ROOT).as_posix()
    if name in ALLOWED and ALLOWED[name] is None:
        return []
    allowed = ALLOWED.get(name) or set()
    found = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        plain = ACCEPTED.sub("", line)
        words = [token for token in map(str.lower, TOKEN.findall(plain)) if token in FORBIDDEN - allowed]
        words += [match.group() for match in PHRASE.finditer(plain)]
        if words:
            found.append(f"{name}:{number}: {', '.join(dict.fromkeys(words))}: {line.strip()[:110]}")
    return found


@pytest.mark.xfail(strict=False, reason="renaming is under way")
@pytest.mark.parametrize("room", ROOMS)
def test_no_forbidden_word_is_used(room: str) -> None:
    found = [hit for path in files() if path.relative_to(ROOT).parts[0] == room for hit in hits(path)]
    assert not found, f"{len(found)} lines have words that the project does not use:\n" + "\n".join(found)


if __name__ == "__main__":
    wanted = [Path(argument).resolve() for argument in sys.argv[1:]] or [ROOT]
    for file in files():
        if any(file.is_relative_to(path) for path in wanted):
            print(*hits(file), sep="\n", end="\n" if hits(file) else "")
