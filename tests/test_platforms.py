"""What other systems and locales require, as far as it can be checked on this one."""

import importlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smash_lightning import FinishedRun
from smash_lightning.configuration.folders import new_folder
from smash_lightning.files import read_object
from tests.command_line import ROOT, smash
from tests.test_results import FAULTS

RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))}
LONGEST = 60  # characters of a path within the run folder, as 260 are the most for all of it
POSIX = {
    signal: ("SIGUSR1", "SIGUSR2", "SIGKILL", "SIGHUP", "SIGALRM", "pthread_sigmask", "setitimer"),
    os: ("fork", "geteuid", "getuid", "getpgid", "killpg", "setsid", "mkfifo", "sched_getaffinity", "statvfs", "uname"),
}


def import_without_posix() -> None:
    """In a process of its own; other packages remain as they were imported."""
    names = [name for name in sys.modules if name.startswith("smash_lightning")]
    assert len(names) > 100
    for name in names:
        del sys.modules[name]
    for name in ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"):
        sys.modules[name] = None  # type: ignore[assignment]  # so that an import of it fails
    for module, functions in POSIX.items():
        for function in functions:
            delattr(module, function)
    for name in names:
        importlib.import_module(name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system lacks what is removed")
def test_every_module_is_imported_without_what_posix_alone_has() -> None:
    for path in (ROOT / "smash_lightning").rglob("*.py"):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    process = multiprocessing.get_context("fork").Process(target=import_without_posix)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def names_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        yield path.relative_to(folder)


def test_names_of_files_are_allowed_and_distinct_on_every_system(tiny_run: FinishedRun) -> None:
    paths = [*names_below(tiny_run.folder), Path(new_folder("outputs"))]
    assert len({str(path).casefold() for path in paths}) == len(paths) > 15
    for path in paths:
        assert len(str(path)) <= LONGEST
        for part in path.parts:
            assert re.fullmatch(r"[\w.-]+(?<!\.)", part, re.ASCII), path
            assert part.partition(".")[0].lower() not in RESERVED


FILES: list[Path] = []  # folder in which open files may not be replaced, while it is watched


def refuse_open_files(event: str, arguments: tuple[Any, ...]) -> None:
    """Windows refuses to replace or remove a file that is open or mapped."""
    if not FILES or event not in ("os.rename", "os.remove", "os.rmdir"):
        return
    for name in arguments[: 1 + (event == "os.rename")]:
        path = os.path.abspath(os.fsdecode(name))
        if path.startswith(str(FILES[0])) and os.path.exists(path):
            folder = Path("/proc/self/fd")
            opened = [os.readlink(folder / each) for each in os.listdir(folder) if os.path.islink(folder / each)]
            if path in opened or any(each.startswith(f"{path}/") for each in opened):
                raise PermissionError(13, "the file is open", path)
            if path in Path("/proc/self/maps").read_text():
                raise PermissionError(13, "the file is mapped", path)


def tiny(folder: Path, *more: str) -> list[str]:
    """Options of a run of seconds on pictures in folders."""
    FAULTS.save_images(folder / "images")
    return [*FAULTS.OPTIONS, f"dataset.root={folder / 'images'}", f"cache_folder={folder / 'cache'}", *more]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs the list of open files of Linux")
def test_no_open_file_is_replaced_or_removed(tmp_path: Path) -> None:
    sys.addaudithook(refuse_open_files)  # which remains, without an effect
    FILES.append(tmp_path)
    try:
        with (tmp_path / "open").open("w"), pytest.raises(PermissionError):
            os.replace(tmp_path / "open", tmp_path / "other")
        assert smash(tmp_path, *tiny(tmp_path), "hydra.run.dir=run").well
        assert smash(tmp_path, "resume=run").well
    finally:
        FILES.clear()


STRICT = """
import sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="smash_lightning")
import smash_lightning
assert not {"torch", "lightning", "pandas", "hydra"} & set(sys.modules), "the import takes milliseconds"
from smash_lightning.cli import main
main()
assert not {"wandb", "mlflow"} & set(sys.modules), "only those that choose a logger wait for it"
"""


def test_texts_are_utf8_in_any_locale_and_nothing_is_imported_without_need(tmp_path: Path) -> None:
    options = tiny(tmp_path, f"hydra.run.dir={tmp_path}/run")
    for split in ("train", "test"):
        (tmp_path / "images" / split / "7").rename(tmp_path / "images" / split / "sept é 七")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-X", "warn_default_encoding", "-c", STRICT, *options]
    environment = {**os.environ, **locale, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    assert b"sept \\xe9 \\u4e03" in ended.stdout
    assert "sept é 七" in read_object(tmp_path / "run" / "data.json")["classes"]
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert all(text in page for text in ("sept é 七", *read_object(tmp_path / "run" / "data.json")["notes"]))
