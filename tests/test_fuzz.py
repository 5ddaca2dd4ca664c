"""The first cases of docs/results/fuzz.py, and what larger numbers of them found."""

from pathlib import Path

import pytest

from smash_lightning import FinishedRun
from smash_lightning.architecture import Architecture
from smash_lightning.configuration.errors import explain
from smash_lightning.evaluation.tables import RETRAINED, read_table
from tests.test_damaged_files import SMALL
from tests.test_results import FUZZ


@pytest.mark.parametrize(("kind", "count"), [("architectures", 400), ("tables", 60), ("options", 6)])
def test_changed_inputs_are_accepted_as_written_or_refused(tiny_run: FinishedRun, kind: str, count: int) -> None:
    figures = FUZZ.fuzz(getattr(FUZZ, kind), tiny_run.folder, count)
    assert not figures["faults"]
    assert figures["refused"]


HEADER, ROW = "fingerprint,seed,true_error,true_loss,epochs", "a,0,1.5,0.1,3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER},seed\n{ROW},0\n", "column 'seed' occurs twice"),
        (f"{HEADER}\n{ROW}\n".replace(",3", ",1e+20"), "line 2, column epochs: '1e\\+20' is not a whole number"),
        (f"{HEADER}\n{ROW}\n".replace("1.5", "x" * 100_000), "line 2, column true_error: .{10,40} is not a number"),
        (f"{HEADER}\n{ROW}\n".replace("1.5", "x" * 200_000), "field larger than field limit"),
    ],
)
def test_a_table_that_no_run_writes_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "retrained.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"retrained.csv[:,] {message}$|retrained.csv: {message}"):
        read_table(tmp_path / "retrained.csv", RETRAINED)


def test_a_key_with_line_ends_is_escaped() -> None:
    with pytest.raises(ValueError, match=r"blocks\.0\.a\\nb\\u2028: Unexpected") as raised:
        Architecture.from_json(SMALL.replace('"width"', '"a\\nb\\u2028":1,"width"'))
    assert str(raised.value).isprintable()


def test_a_message_is_one_line() -> None:
    assert explain(ValueError("a\nb\x1b[31m\u2028c")) == r"a b\x1b[31m c"
