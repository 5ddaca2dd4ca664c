import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from smash_lightning.architecture import Architecture, Block, Convolution, Op, load_architecture
from tests.cases import Case, every_case, every_seed, neighbors

PLAIN = {
    "format": 1,
    "blocks": [
        {
            "width": 4,
            "inputs": 2,
            "ops": [
                {
                    "read": [0, 1],
                    "write": [1, 2],
                    "units": 1,
                    "bottleneck": 8,
                    "paths": [
                        [{"kernel": [3, 3], "dilation": [2, 1], "groups": 2}],
                        [{"kernel": [3, 5], "dilation": [1, 1], "groups": 1}],
                    ],
                    "activation": "pre",
                    "join": "sum",
                }
            ],
        }
    ],
}
VALUE = Architecture(
    (Block(4, 2, (Op((0, 1), (1, 2), 1, 8, ((Convolution((3, 3), (2, 1), 2),), (Convolution((3, 5), (1, 1)),))),)),)
)
BLOCK: tuple[str | int, ...] = ("blocks", 0)
OP = (*BLOCK, "ops", 0)
CONVOLUTION = (*OP, "paths", 0, 0)
ONE_PATH = {"kernel": [3, 3], "dilation": [1, 1], "groups": 1}
GONE = object()


def changed(path: tuple[str | int, ...], value: Any) -> str:
    """The JSON of a valid architecture with one item replaced, or removed."""
    plain = copy.deepcopy(PLAIN)
    inner: Any = plain
    for key in path[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(plain)


def two_blocks(pooled_width: int, pooled: list[int]) -> str:
    """The JSON of two equal blocks, of which the second reads banks of the first."""
    first: Any = PLAIN["blocks"][0]  # type: ignore[index]
    second = first | {"pooled_width": pooled_width, "ops": [first["ops"][0] | {"pooled": pooled}]}
    return changed(("blocks",), [first, second])


def test_the_format_is_fixed() -> None:
    assert Architecture.from_json(json.dumps(PLAIN)) == VALUE
    assert json.loads(VALUE.to_json()) == PLAIN
    message = "fingerprints name rows of saved tables: a change of the JSON needs a new format number"
    assert VALUE.fingerprint == "e7225583d70c8f97", message


@every_case
@every_seed
def test_json_round_trip(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    text = architecture.to_json()
    assert "\n" not in text
    assert Architecture.from_json(text) == architecture
    assert Architecture.from_json(json.dumps(json.loads(text), indent=2)).fingerprint == architecture.fingerprint


@every_case
@every_seed
def test_fingerprints_are_equal_exactly_where_architectures_are(case: Case, seed: int) -> None:
    architecture = case.draw(seed)
    some = {architecture, *neighbors(architecture, case.space.limits, 0, 0), case.draw(seed + 1)}
    assert len({a.fingerprint for a in some}) == len(some)
    assert all(re.fullmatch("[0-9a-f]{16}", a.fingerprint) for a in some)
    assert hash(Architecture.from_json(architecture.to_json())) == hash(architecture)


def test_defaults_may_be_left_out() -> None:
    plain = copy.deepcopy(PLAIN)
    del plain["blocks"][0]["ops"][0]["activation"], plain["blocks"][0]["ops"][0]["join"]  # type: ignore[index]
    assert Architecture.from_json(json.dumps(plain)) == VALUE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "architecture: JSON: Invalid JSON"),
        ("[]", "architecture: JSON: Input should be an object"),
        (changed(("format",), GONE), "architecture: format: Field required"),
        (changed(("format",), 2), "architecture: format: Input should be less than or equal to 1"),
        (changed(("name",), "x"), "architecture: name: Extra inputs are not permitted"),
        (changed(("blocks",), []), "an architecture needs at least one block"),
        (changed(("stem",), 0), "the stem must have at least 1 channel, got 0"),
        (changed((*BLOCK, "width"), True), "blocks.0.width: Input should be a valid integer"),
        (changed((*BLOCK, "width"), 0), "block 0: width (0) and inputs (2) must be at least 1"),
        (changed((*BLOCK, "inputs"), 0), "block 0: width (4) and inputs (0) must be at least 1"),
        (changed((*BLOCK, "ops"), []), "block 0: needs at least one op"),
        (changed((*OP, "read"), []), "block 0, op 0: read must list banks in ascending order, once each, got []"),
        (
            changed((*OP, "read"), [0, 0]),
            "block 0, op 0: read must list banks in ascending order, once each, got [0, 0]",
        ),
        (changed((*OP, "read"), [-1]), "block 0, op 0: read must list banks in ascending order, once each, got [-1]"),
        (changed((*OP, "read"), [0, 5]), "block 0, op 0: reads bank 5, which is not filled yet"),
        (changed((*OP, "write"), [2, 1]), "block 0, op 0: write must list banks in ascending order"),
        (changed((*OP, "write"), [1, 7]), "block 0: bank 2 is never filled, though bank 7 is"),
        (changed((*OP, "units"), 3), "block 0, op 0: has 3 units for 2 written banks; needs 1 to 2"),
        (changed((*OP, "bottleneck"), 0), "block 0, op 0: bottleneck must be at least 1 channel, or null"),
        (changed((*OP, "bottleneck"), 7), "block 0, op 0: 2 groups do not divide 7 inputs and 4 outputs"),
        (changed((*OP, "paths"), []), "block 0, op 0: needs one or two paths of one or two convolutions each"),
        (changed((*OP, "paths"), [[ONE_PATH]] * 3), "block 0, op 0: needs one or two paths"),
        (changed((*OP, "paths"), [[ONE_PATH] * 3]), "block 0, op 0: needs one or two paths"),
        (changed((*OP, "paths"), [[ONE_PATH], [ONE_PATH] * 2]), "block 0, op 0: the longer path comes first"),
        (changed((*CONVOLUTION, "kernel"), [3, 4]), "block 0, op 0: kernel sizes must be odd, got [3, 4]"),
        (changed((*CONVOLUTION, "kernel"), [3, 3, 3]), "convolutions must all be 2D or all 3D, found kernels with"),
        (changed((*CONVOLUTION, "dilation"), [1]), "block 0, op 0: kernel [3, 3] and dilation [1] differ in axes"),
        (changed((*CONVOLUTION, "dilation"), [0, 1]), "block 0, op 0: dilations must be at least 1, got [0, 1]"),
        (changed((*CONVOLUTION, "groups"), 3), "block 0, op 0: 3 groups do not divide 8 inputs and 4 outputs"),
        (changed((*CONVOLUTION, "groups"), 0), "block 0, op 0: 0 groups do not divide"),
        (
            changed((*BLOCK, "pooled_width"), 4),
            "block 0: only ops after a transition as in the paper read",
        ),
        (two_blocks(0, [0]), "block 1: pooled_width is 0, not 4"),
        (two_blocks(4, []), "block 1: pooled_width is 4, not 0"),
        (two_blocks(4, [3]), "block 1: reads bank 3 of block 0, which has 3"),
        (two_blocks(4, [1, 0]), "block 1, op 0: pooled must list banks in ascending order, once each, got [1, 0]"),
    ],
)
def test_malformed_json_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Architecture.from_json(text)


def test_one_dimensional_convolutions_are_refused() -> None:
    convolution = Convolution((3,), (1,))
    with pytest.raises(ValueError, match="must all be 2D or all 3D"):
        Architecture((Block(4, 1, (Op((0,), (0,), 1, None, ((convolution,),)),)),))


@pytest.mark.parametrize("changed", [{"activation": "relu"}, {"join": "max"}, {"meet": "product"}])
def test_ops_of_ones_own_have_known_kinds(changed: dict[str, Any]) -> None:
    (name, given), *_ = changed.items()
    convolution = Convolution((3, 3), (1, 1))
    with pytest.raises(ValueError, match=rf"block 0, op 0: {name} must be one of .*, got '{given}'"):
        Architecture((Block(4, 1, (Op((0,), (0,), 1, None, ((convolution,),), **changed),)),))


def test_errors_have_the_path_of_the_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(VALUE.to_json())
    bad.write_text("{}")
    assert load_architecture(good) == VALUE
    with pytest.raises(ValueError, match=r"bad\.json: architecture: format: Field required"):
        load_architecture(bad)
    with pytest.raises(ValueError, match=r"cannot read .*none\.json: No such file"):
        load_architecture(tmp_path / "none.json")
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"bad\.json: "):
        load_architecture(bad)
