import math
from pathlib import Path

import pandas as pd
import pytest

from smash_lightning.evaluation.tables import (
    BASELINES,
    GROUND_TRUTHS,
    HISTORY,
    RANKING,
    RETRAINED,
    SETTLING,
    append_rows,
    hypernet_columns,
    read_if_exists,
    read_ranking,
    read_retrained,
    read_table,
    write_table,
)
from smash_lightning.run_folder import RunFolder
from tests.evaluation.study_tables import baselines, known_ground_truths, study
from tests.stages.small_run import trained

TRAININGS = [trained(f"r{place}", place, 0.1 * place, "shortlist") for place in range(3)]
TABLES = {"ranking": RANKING, "retrained": RETRAINED, "training_history": HISTORY, "baselines": BASELINES}
TABLES |= {"settling": SETTLING, "ground_truths": GROUND_TRUTHS}


def made_up() -> dict[str, pd.DataFrame]:
    ranking, retrained = study(4, 1)
    history = pd.DataFrame([("0123", 3, 7, 0.5), ("1e10", 4, 7, math.nan)], columns=[*HISTORY.columns])
    settling = pd.DataFrame([(0, 20, "0123", 0.25), (1, 20, "1e10", math.inf)], columns=[*SETTLING.columns])
    tables = {"ranking": ranking, "retrained": retrained, "baselines": baselines(retrained)}
    known = known_ground_truths(representative=4)
    known = known[GROUND_TRUTHS.ordered(hypernet_columns(known))]
    return tables | {"training_history": history, "settling": settling, "ground_truths": known}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    path, kind, table = tmp_path / "table.csv", TABLES[name], made_up()[name]
    for rows in (table, table[:1], table[:0]):
        written = write_table(path, kind, rows)
        pd.testing.assert_frame_equal(read_table(path, kind), written)
        assert written.fillna(-1).to_numpy().tolist() == rows.fillna(-1).to_numpy().tolist()
        assert list(written) == list(rows)
    assert list(tmp_path.iterdir()) == [path]


def test_rows_are_appended_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "baselines.csv"
    write_table(path, BASELINES, [], extra=["note"])
    for name, prediction in (("007", math.inf), ("008", -1.5), ("009", math.nan)):
        append_rows(path, {"prediction": prediction, "fingerprint": name, "baseline": "synflow", "seconds": 0.5})
    assert path.read_text().splitlines()[:2] == [
        "fingerprint,baseline,prediction,seconds,training_seconds,note",
        "007,synflow,inf,0.5,,",
    ]
    table = read_table(path, BASELINES)
    assert table["prediction"].tolist()[:2] == [math.inf, -1.5]
    assert table["prediction"].isna().tolist() == [False, False, True]
    assert table["fingerprint"].tolist() == ["007", "008", "009"]
    with pytest.raises(ValueError, match="has no column place"):
        append_rows(path, {"place": 1})


def test_cells_that_rows_lack_are_empty(tmp_path: Path) -> None:
    rows = [TRAININGS[0], {"fingerprint": "r1", "seed": 1, "true_error": math.nan, "true_loss": math.nan}]
    written = write_table(tmp_path / "retrained.csv", RETRAINED, rows)
    assert written.loc[1, ["failure", "shortlist", "preset"]].tolist() == ["", 0, 0]
    assert (tmp_path / "retrained.csv").read_text().endswith("\nr1,1,0,0,0,0,,,,,,\n")
    pd.testing.assert_frame_equal(read_table(tmp_path / "retrained.csv", RETRAINED), written)


def test_a_last_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "retrained.csv"
    whole = write_table(path, RETRAINED, TRAININGS)
    path.write_text(path.read_text()[:-3])
    pd.testing.assert_frame_equal(read_table(path, RETRAINED), whole[:2])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_other_systems_and_in_cells_are_read_as_they_are(tmp_path: Path, end: str) -> None:
    path = tmp_path / "retrained.csv"
    whole = write_table(path, RETRAINED, TRAININGS)
    path.write_bytes(path.read_text().replace("\n", end).encode())
    pd.testing.assert_frame_equal(read_table(path, RETRAINED), whole)
    write_table(path, RETRAINED, [{**TRAININGS[0], "failure": "reason"}])
    path.write_bytes(path.read_bytes().replace(b"reason", f'"one{end}two"'.encode()))
    assert read_table(path, RETRAINED).loc[0, "failure"] == f"one{end}two"


def test_more_columns_are_kept_and_missing_ones_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "ranking.csv"
    header = "mine,val_loss_10,val_loss_2,smash_score,fingerprint,strategy,val_error,val_loss,params,macs,ops,text"
    path.write_text(f"{header}\n3,1.5,0.5,0.1,a,random,9,0.2,10,20,3,\n4,,0.5,0.1,b,random,9,0.2,10,20,3,x y\n")
    table = read_table(path, RANKING)
    assert list(table)[:6] == ["fingerprint", "strategy", "parent", "smash_score", "val_error", "val_loss"]
    assert list(table)[-2:] == ["mine", "text"]
    assert (table["mine"].tolist(), table["text"].tolist()) == ([3, 4], ["", "x y"])
    assert hypernet_columns(table) == ["val_loss_2", "val_loss_10"] == list(table)[6:8]
    assert (table["parent"] == "").all()
    assert table[["images", "ensemble_error", "seconds"]].isna().all(axis=None)
    again = write_table(path, RANKING, table)
    pd.testing.assert_frame_equal(read_table(path, RANKING), again)
    (tmp_path / "retrained.csv").write_text("fingerprint,seed,true_error,true_loss,random\na,0,1,2,1\nb,0,,,\n")
    trainings = read_table(tmp_path / "retrained.csv", RETRAINED)
    assert trainings[["shortlist", "random", "preset"]].to_numpy().tolist() == [[0, 1, 0], [0, 0, 0]]
    assert trainings["true_loss"].isna().tolist() == [False, True]
    assert (trainings["failure"] == "").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("\nr1,1,", "\nr1,one,"), "line 3, column seed: 'one' is not a whole number"),
        (("\nr1,1,", "\nr1,,"), "line 3, column seed: '' is not a whole number"),
        (("\nr1,1,1,", "\nr1,1,yes,"), "line 3, column shortlist: 'yes' is not 0 or 1"),
        (("0.1,", "0.1x,"), "line 3, column true_loss: '0.1x' is not a number"),
        (("\nr1,1,", "\nr1,1,1,"), "line 3: 13 values for 12 columns"),
        (("\nr2,2,", "\nr1,1,"), "line 4: a second row of 'r1 1': remove one of them"),
        (("true_loss", "loss"), "retrained.csv: column true_loss is missing"),
        (("fingerprint", "key"), "retrained.csv: column fingerprint is missing; repeat the run of an earlier version"),
    ],
)
def test_wrong_values_are_refused_with_their_position(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "retrained.csv"
    write_table(path, RETRAINED, TRAININGS)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=rf"^{path}.*{message.removeprefix('retrained.csv')}"):
        read_table(path, RETRAINED)


@pytest.mark.parametrize(
    ("name", "column", "text", "wrong"),
    [
        ("retrained", "true_error", "100.0", "250"),
        ("ranking", "val_error", "0", "-1"),
        ("ranking", "val_loss", "inf", "-inf"),  # infinite of a HyperNet that diverged
        ("ranking", "val_loss_0", "inf", "-0.5"),
        ("ranking", "smash_score", "-7", "low"),
        ("ground_truths", "true_loss", "2.5", "inf"),
        ("ground_truths", "params", "10", "-10"),
        ("baselines", "prediction", "-inf", "low"),
        ("training_history", "epoch_loss", "inf", "-1"),
    ],
)
def test_numbers_that_nothing_can_measure_are_refused(
    tmp_path: Path, name: str, column: str, text: str, wrong: str
) -> None:
    path, table = tmp_path / f"{name}.csv", made_up()[name].astype(object)
    for value in (text, wrong):
        table.loc[1, column] = value
        table.to_csv(path, index=False)
        if value == text:
            assert read_table(path, TABLES[name]).loc[1, column] == float(text)
        else:
            with pytest.raises(
                ValueError,
                match=rf"^{path}, line 3, column {column}: '{wrong}' is not (from 0 to|finite|at least|a num)",
            ):
                read_table(path, TABLES[name])


def test_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no ranking in {tmp_path}"):
        read_ranking(RunFolder(tmp_path))
    with pytest.raises(ValueError, match=f"nothing was retrained in {tmp_path}"):
        read_retrained(RunFolder(tmp_path))
    with pytest.raises(ValueError, match=r"cannot read .*: No such file"):
        read_table(tmp_path / "ranking.csv", RANKING)
    assert list(read_if_exists(tmp_path / "baselines.csv", BASELINES)) == list(BASELINES.columns)
