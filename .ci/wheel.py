"""Builds a wheel, installs it in a second environment, and runs it there from an empty folder.

The second environment finds the dependencies of this one, but not the clone: the file by which an editable installation
points to the clone has no effect in a folder that is added to the path by name.
"""

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT = 300  # seconds for the smallest run; it takes 15 where nothing else runs


def call(*command: object, **options: object) -> None:
    """Runs a command that must succeed."""
    subprocess.run([str(part) for part in command], check=True, **options)  # type: ignore[call-overload]


def require_library(packages: Path) -> None:
    """Raises FileNotFoundError where a file of the library of ground truths is not in the installed package."""
    for path in (ROOT / "smash_lightning" / "evaluation" / "library").rglob("*.*"):
        if not (packages / path.relative_to(ROOT)).is_file():
            raise FileNotFoundError(f"the wheel lacks {path.relative_to(ROOT)}")


def main() -> None:
    """Raises an error where a step fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.rmtree(ROOT / "build", ignore_errors=True)  # modules that were removed since would be packed again
        call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
        venv.create(folder / "venv", with_pip=True)
        binaries = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        (wheel,) = folder.glob("*.whl")
        call(binaries / "pip", "install", "--quiet", "--no-deps", wheel)
        (packages,) = (folder / "venv").rglob("site-packages")
        require_library(packages)
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        empty = folder / "empty"
        empty.mkdir()
        call(binaries / "smash", "debug=smoke", cwd=empty, timeout=LIMIT)
        (result,) = empty.rglob("result.json")
        print(f"the wheel works without the clone: {result.read_text().strip()}")


if __name__ == "__main__":
    main()
