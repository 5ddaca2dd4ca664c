"""One word for one thing: words that the project does not use, in names, comments, documentation and configuration.

`python tests/test_words.py [PATH ...]` prints every line that has one, with the words to use instead.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    "smash_lightning",
    "conf",
    "docs",
    "examples",
    "tests",
    "run.py",
    "README.md",
    "CONTRIBUTING.md",
    "DECISIONS.md",
)
SUFFIXES = {".py", ".yaml", ".md", ".jinja", ".html", ".toml", ".ipynb"}

# Words, also as parts of names such as `best_pick` or `BestPick`, and the words to use instead.
WORDS = {
    "rival rivals": "baseline",
    "contest contests contestant contestants": "comparison, predictor",
    "told tell tells telling": "returns, prints, distinguishes",
    "ask asks asked asking": "calls, requests, needs",
    "hear hears heard speak speaks": "receives, sends",
    "chance": "random, rng",
    "arm arms": "group",
    "deviation deviations": "std",
    "skeleton": "image_spec",
    "alike": "equally, similar, size_matched",
    "brick bricks wall": "tile, tile_grid",
    "whoever": "a process that",
    "beside": "next to, in addition to",
    "misinformed": "corrupted",
    "relay": "queue",
    "settle settles settled": "converge, set",
    "stands": "is",
    "pick picks picked": "proposal, choice, selection",
    "say says said": "states, has, lists",
    "nobody somebody": "no process, another",
    "luck lucky luckiest": "biased by selection, high",
    "pays paid": "has a benefit",
}
PHRASES = {
    r"(?<![gG]round[ _-])\btruths?\b|(?<!ground)_truths?\b": "ground truth",
    r"ordinary (training|network|weight|model)s?|trained (normally|ordinarily)|free[ _]weights?": "standalone",
    r"\b(FreeNetwork|SmashModule|FixedModule)\b": "StandaloneNetwork, HyperNetModule, RetrainModule",
    r"\blies\b|\blie (in|within|between|on|at|outside|inside|from)\b": "is, are",
    r"leaves? (it )?behind|\btakes? over\b|\btake_over\b|\bhear_again\b|\basked_to_stop\b": "keeps, copies, restores",
    r"may be believed|may believe|can(not)? be told": "is reliable, differs significantly",
    r"score_minus_it|(?<!partial_)given_params": "delta_spearman, partial_spearman",
    r"\bdef (settle|here|joined|leading|serve|quiet|leave|shown|looks|shapes|front|board)\b": "a name for the result",
    r"\b(class|import) (Looks|Setting|Figures|Entry|Pick|Key)\b|\b[Mm]aterial\b": "BaselineContext, ScoringData",
}
# Such words in values that enter the seeds of published results.
ALLOWED = {
    "smash_lightning/random_streams.py": {"rivals", "arm", "chance"},
    "tests/test_damaged_files.py": {"say"},  # in names of folders
    "tests/configuration/test_errors.py": {"say"},
}
IGNORED = re.compile(r"standard[ -]deviation|[Ww]all[ -]clock|\.tell\(")

INSTEAD = {word: instead for words, instead in WORDS.items() for word in words.split()}
TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def files() -> Iterator[Path]:
    for room in ROOMS:
        path = ROOT / room
        found = path.rglob("*") if path.is_dir() else [path]
        yield from sorted(
            file for file in found if file.is_file() and file.suffix in SUFFIXES and file != Path(__file__)
        )


def hits(path: Path) -> list[str]:
    """Lines of a file with such words, as messages."""
    name = path.relative_to(ROOT).as_posix()
    allowed, found = ALLOWED.get(name, set()), []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = IGNORED.sub("", line)
        words = {
            word: INSTEAD[word] for word in map(str.lower, TOKEN.findall(text)) if word in INSTEAD.keys() - allowed
        }
        words |= {match.group(): instead for phrase, instead in PHRASES.items() for match in re.finditer(phrase, text)}
        if words:
            listed = ", ".join(f"{word} ({instead})" for word, instead in words.items())
            found.append(f"{name}:{number}: {listed}: {line.strip()[:100]}")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_no_forbidden_word_is_used(room: str) -> None:
    found = [hit for path in files() if path.relative_to(ROOT).parts[0] == room for hit in hits(path)]
    assert not found, f"{len(found)} lines have words that the project does not use:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line", ["best_pick = 1", "class BestPick:", "# the picks", "the truth", "an ordinary network"]
)
def test_forbidden_words_are_found_in_names_and_prose(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "file.py").write_text(f"picklable = ground_truth = 'the ground truth'\n{line}\n")
    assert [hit.split(": ")[0] for hit in hits(tmp_path / "file.py")] == ["file.py:2"]


if __name__ == "__main__":
    wanted = [Path(argument).resolve() for argument in sys.argv[1:]] or [ROOT]
    print(
        *(hit for file in files() if any(file.is_relative_to(path) for path in wanted) for hit in hits(file)), sep="\n"
    )
