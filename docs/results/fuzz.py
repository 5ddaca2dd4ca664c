"""Changes valid inputs at random: python docs/results/fuzz.py > docs/results/fuzz.json.

Architectures in JSON files, options of the command line (composed and built, up to where the task would begin) and
tables of a run folder. Each is accepted with the values that were written, or refused in one line that names the thing;
a case may use SECONDS of CPU and BYTES of memory. Other machines are out of reach. For Linux, whose /proc has the
largest memory of a process since it was last reset.
"""

import argparse
import gc
import io
import json
import os
import random
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from changes import anything, changed, changed_json, changed_table, changed_text, is_part, loaded, same_cells
from collect import markdown, record
from faults import OPTIONS, save_images
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import smash_lightning as smash
from smash_lightning import cli
from smash_lightning.architecture import Architecture, load_architecture
from smash_lightning.configuration import CONF
from smash_lightning.configuration.errors import LONGEST
from smash_lightning.evaluation.sweep import leaves
from smash_lightning.run_folder import RunFolder
from smash_lightning.search_space import presets

SECONDS, BYTES, VALUES_OF_OPTION = 1.0, 200e6, 500
COUNTS = {"architectures": 100_000, "options": 10_000, "tables": 10_000}
# What a refusal must name (one of them), and what is tried: false where other values were accepted than were written.
Case = tuple[list[str], Callable[[], bool]]


class Begun(BaseException):
    """Raised where a command would begin to work, instead of it."""


def architectures(folder: Path, run: Path, rng: random.Random) -> Iterator[Case]:
    """Changed architectures of a run and of presets."""
    known = [one.to_json() for one in RunFolder(run).read_architectures().values()]
    known += [each.to_json() for each in (presets.resnet(), presets.wrn(), presets.densenet(22), presets.fractalnet())]
    file = folder / "architecture.json"
    while True:
        text = changed_json(rng.choice(known), rng)
        file.write_bytes(text.encode(errors="surrogatepass"))

        def read(text: str = text) -> bool:
            plain = load_architecture(file).to_json()
            return Architecture.from_json(plain).to_json() == plain and is_part(loaded(text), json.loads(plain))

        yield [str(file)], read


def tables(folder: Path, run: Path, rng: random.Random) -> Iterator[Case]:
    """A run folder in which a table or the file of architectures is changed."""
    copy = shutil.copytree(
        run, folder / "copy", ignore=shutil.ignore_patterns("checkpoints", "*.html", "*.png", "*.svg")
    )
    while True:
        name = rng.choice(["ranking", "retrained", "baselines", "architectures"])
        file: Path = getattr(RunFolder(copy), name)
        whole = file.read_text(encoding="utf-8")
        lines = whole.splitlines()
        place = rng.randrange(len(lines))
        text = changed_table(whole, rng)
        if name == "architectures":
            text = "\n".join([*lines[:place], changed_json(lines[place], rng), *lines[place + 1 :]]) + "\n"
        file.write_bytes(text.encode(errors="surrogatepass"))

        def read(name: str = name, text: str = text) -> bool:
            found = getattr(smash.load(copy), name)
            if name != "architectures":
                return same_cells(text, found, name == "ranking")
            plain = {one["fingerprint"]: one["architecture"] for one in map(loaded, text.splitlines())}
            return all(is_part(plain[key], json.loads(one.to_json())) for key, one in found.items())

        yield [str(file)], read
        file.write_text(whole, encoding="utf-8")


def options(folder: Path, run: Path, rng: random.Random) -> Iterator[Case]:
    """A command in which one or two options are changed."""
    del run
    (here := folder / "a" / "b" / "c").mkdir(parents=True, exist_ok=True)  # for paths such as ../..
    files = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CONF.glob("*/*.yaml"))}
    known: dict[str, Any] = {path.parent.name: path.stem for path in files}
    for path, section in files.items():
        name = "" if path.parent.name in ("experiment", "debug", "hparams_search") else path.parent.name
        known |= {
            key: value
            for key, value in leaves(section, name).items()
            if not {"defaults", "hydra"} & set(key.split("."))
        }
    top = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    known |= {name: value for name, value in top.items() if name not in ("hydra", "defaults")}
    choices = [f"{path.parent.name}={path.stem}" for path in files if path.stem != "mlflow"]  # takes 2 s for a database
    while True:
        chosen = [changed_option(known, choices, rng) for _ in range(rng.choice([1, 1, 2]))]

        def build(chosen: list[str] = chosen) -> bool:
            config = begun(here, chosen)
            return all(has(config, override) for override in chosen)

        yield [name for override in chosen for name in names_in(override)], build


def names_in(override: str) -> list[str]:
    """Texts of which a message about an override has one: the beginning of it, of its value, or a part of its name."""
    name, _, value = override.partition("=")
    is_group = os.path.isdir(CONF / name.lstrip("+~"))  # false for a name that is too long
    more = ["cannot download", "dataset."] if is_group else []  # what a choice may set
    return more + [
        each for each in (override[:30], value[:20].strip("'\" "), *re.split(r"[.@/+~]", name)) if each.strip()
    ] or [""]


def changed_option(known: dict[str, Any], choices: list[str], rng: random.Random) -> str:
    """An option of a group with another value, a choice, or one of both that is changed as a text.

    Its value has up to VALUES_OF_OPTION commas, as Hydra's grammar takes .6 ms for each value.
    """
    name = rng.choice(list(known))
    value = rng.choice([changed(known[name], rng), anything(rng), known[rng.choice(list(known))]])
    quoted = isinstance(value, str) and rng.random() < 0.5
    text = json.dumps(value, ensure_ascii=False) if quoted or not isinstance(value, str) else value
    if text.count(",") > VALUES_OF_OPTION:
        return changed_option(known, choices, rng)
    override = rng.choice(["", "", "", "+", "++", "~"]) + rng.choice([f"{name}={text}"] * 3 + [rng.choice(choices)])
    return (changed_text(override, rng) if rng.random() < 0.125 else override).lstrip("-")


def begun(folder: Path, overrides: list[str]) -> DictConfig:
    """The configuration of a command that would begin to work; raises ValueError with its message where it ends."""
    GlobalHydra.instance().clear()
    sys.argv, out = ["smash"], io.StringIO()
    try:
        with chdir(folder), patch.object(sys, "path", [*sys.path]), redirect_stdout(out), redirect_stderr(out):
            cli.main(overrides)
    except Begun as reached:
        return reached.args[0]
    except SystemExit as end:
        if str(end.code).startswith(("interrupted", "stopped")):
            raise KeyboardInterrupt from None
        raise ValueError(str(end.code)) from None
    raise AssertionError("it ended without a word")


def begin(folder: Path, config: DictConfig) -> None:
    """Ends a command where it would begin to work."""
    raise Begun(config)


def has(config: DictConfig, override: str) -> bool:
    """Whether a configuration has the value of an override, or lacks what it removes; of a group that it has one."""
    (parsed,) = OverridesParser.create().parse_overrides([override])
    key = parsed.key_or_group
    if parsed.is_delete() or "@" in key or "${" in override or (CONF / key).is_dir():
        return True
    found = OmegaConf.select(config, key)
    return is_part(parsed.value(), OmegaConf.to_container(found) if OmegaConf.is_config(found) else found)


def measured(case: Case) -> tuple[str, str, float, float]:
    """How a case ended ("accepted", "refused" or "fault"), its message, CPU seconds, and bytes more than before."""
    names, tried = case
    Path("/proc/self/clear_refs").write_text("5")
    before, began, message = memory("VmRSS"), time.process_time(), ""
    try:
        ended = "accepted" if tried() else "fault"
    except ValueError as error:
        message = str(error)
        short = len(message.splitlines()) == 1 and len(message) <= LONGEST + 20
        ended = "refused" if short and any(name in message for name in names) else "fault"
    except Exception as error:
        ended, message = "fault", f"{type(error).__name__}: {error}"
    seconds, grown = time.process_time() - began, memory("VmHWM") - before
    return ("fault" if seconds > SECONDS or grown > BYTES else ended), message, seconds, grown


def memory(name: str) -> float:
    """Bytes of a line of /proc/self/status."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * float(lines[name].split()[0])


def fuzz(kind: Callable[..., Iterator[Case]], run: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Tries so many cases of a kind on a finished run: their counts, the largest figures, and each fault."""
    figures: dict[str, Any] = {"accepted": 0, "refused": 0, "fault": 0, "seconds": 0.0, "megabytes": 0, "faults": []}
    unknown = socket.gaierror(socket.EAI_NONAME, "unknown")
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        patch("socket.getaddrinfo", side_effect=unknown),
        patch.object(cli, "claim", begin),
        patch.object(yaml, "SafeLoader", yaml.CSafeLoader),  # composes the same, sooner
        patch("hydra._internal.hydra.Hydra.get_mode", return_value=RunMode.RUN),  # composes everything once more
    ):
        measured(next(options(Path(folder), run, random.Random(0))))  # imports
        gc.freeze()  # so that what was imported is not looked through again
        for number, case in enumerate(islice(kind(Path(folder), run, random.Random(seed)), count)):
            if (outcome := measured(case))[0] == "fault":
                outcome = min(
                    outcome, measured(case), key=lambda each: each[2:]
                )  # other processes take part of a second
            ended, message, seconds, grown = outcome
            figures[ended] += 1
            figures["seconds"] = max(figures["seconds"], round(seconds, 2))
            figures["megabytes"] = max(figures["megabytes"], round(grown / 1e6))
            if ended == "fault":
                figures["faults"].append([number, case[0], message[:300], round(seconds, 2), round(grown / 1e6)])
                print(*figures["faults"][-1], file=sys.stderr, flush=True)
    return figures


def table(figures: dict[str, dict[str, Any]]) -> str:
    """A record in Markdown."""
    names = ("accepted", "refused", "fault", "seconds", "megabytes")
    header = ["changed", "accepted", "refused in one line", "faults", "CPU s, at most", "MB, at most"]
    return markdown(header, [[kind, *(f"{row[name]:,}" for name in names)] for kind, row in figures.items()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the cases (%(default)s: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(COUNTS), choices=COUNTS)
    parser.add_argument("--run", type=Path, help="folder of a finished run, else it is made")
    command, arguments = sys.argv[1:], parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        if (run := arguments.run) is None:
            run, images = Path(temporary) / "run", Path(temporary) / "images"
            save_images(images)
            with redirect_stdout(sys.stderr):
                cli.main([f"hydra.run.dir={run}", f"dataset.root={images}", *OPTIONS])
        figures = {
            kind: fuzz(globals()[kind], run, round(arguments.share * COUNTS[kind]), arguments.seed)
            for kind in arguments.kinds
        }
    print(record([f"python docs/results/fuzz.py {' '.join(command)}  # {kind}" for kind in figures], figures))
