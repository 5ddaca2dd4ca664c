"""Imports point down: each room imports only those below it, and none on its own floor."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "smash_lightning"
FLOORS = [
    {"cli"},
    {"python_api"},
    {"configuration"},
    {"analyses"},
    {"stages"},
    {"finished_run"},
    {"report"},
    {"evaluation"},
    {"baselines"},
    {"strategies"},
    {"scoring"},
    {"training"},
    {"hypernet"},
    {"search_space", "encoding", "network", "data"},
    {"run_folder"},
    {"architecture"},
    {"engine"},
]
# Single modules, which import no room.
EVERYWHERE = {"random_streams", "progress_bars", "files", "checkpoint", "option_types", "host_tables", "cuda_graphs"}
WITHOUT_TORCH = {"architecture"}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def room_of(path: Path) -> str:
    """The package folder of a module, or the name of a single module."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_of(path: Path) -> set[str]:
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "smash_lightning" and len(parts) > 1:
            found.add(parts[1])
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | {path.stem for path in PACKAGE.glob("*.py")} == FLOOR_OF.keys() | EVERYWHERE | {"__init__"}


def test_imports_point_down() -> None:
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"}:
        room = room_of(path)
        for other in rooms_of(path) - EVERYWHERE:
            assert room not in EVERYWHERE, f"{path.name} imports {other}"
            if other != room:
                assert FLOOR_OF[room] < FLOOR_OF[other], f"{path.relative_to(PACKAGE)} imports {other}"


def test_modules_are_imported_on_any_operating_system() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not imports(path) & {"fcntl", "grp", "pwd", "resource", "syslog", "termios"}, path


def test_architectures_need_no_torch_and_only_the_command_line_uses_hydra() -> None:
    for path in PACKAGE.rglob("*.py"):
        tops = {name.split(".")[0] for name in imports(path)}
        if room_of(path) not in ("cli", "configuration"):
            assert not tops & {"hydra", "omegaconf"}, path
        if path.relative_to(PACKAGE).parts[0] in WITHOUT_TORCH:
            assert not tops & {"torch", "numpy", "lightning"}, path
