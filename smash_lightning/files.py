"""Files: written whole or not at all, read as UTF-8, and named in every error."""

import errno
import json
import os
import re
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room")
REMEDIES |= dict.fromkeys((errno.EACCES, errno.EPERM), "permit access there") | {errno.EROFS: "permit writing there"}
READER = "what reads the output has ended: let it read all, or write into a file with > FILE"


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of reading and writing within it have the name of the file, which those of `write` lack.

    torch and pandas replace such an error by one of their own; the first one is raised again.
    """
    try:
        yield
    except Exception as error:
        if (cause := storage_error(error)) is None:
            raise
        other = cause.filename and not str(cause.filename).endswith(".partial")
        raise OSError(cause.errno, cause.strerror or str(cause), cause.filename if other else str(path)) from error


def storage_error(error: BaseException) -> OSError | None:
    """The error of a file system in the chain of errors that led to this one."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        if isinstance(each, OSError):
            return each
        seen.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return None


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path next to `path`, which replaces it at the end; after a failure `path` is unchanged.

    Each call has its own temporary path, so that several processes may replace one file: the last one is kept.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    with named(path):
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a file as UTF-8, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_text(path: Path) -> str:
    """The text of a file; raises ValueError with its name where it cannot be read, or is not UTF-8."""
    try:
        return path.read_bytes().decode()  # line ends stay as they are, as they may be a part of a cell
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {path}: byte {error.start} is not UTF-8") from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises ValueError with its name where it holds none."""
    text = read_text(path)
    try:
        plain = parse(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(plain, dict):
        raise ValueError(f"{path} holds no JSON object")
    return plain


def parse(text: str) -> Any:
    """The plain value of a JSON text; raises ValueError where it is none, is nested too deep, or has a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise ValueError("its lists are nested too deep") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has an object with a key twice")
    return found


def escaped(text: str) -> str:
    """A text in which what is no printable character is an escape sequence, as a terminal would act on it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def quoted(name: str, value: object) -> str:
    """An option as a shell and Hydra read it, such as `resume=FOLDER`."""
    text = str(value)
    if re.fullmatch(r"[\w./:+@-]+", text, re.ASCII):
        return f"{name}={text}"
    escaped = re.sub(r'(\\*)("|$)', lambda end: 2 * end[1] + end[2].replace('"', '\\"'), text)
    return shlex.quote(f'{name}="{escaped}"')


def storage_message(error: OSError, folder: Path | None = None) -> str:
    """One sentence with the file, what is wrong, and the remedy; `folder` is of the run that is continued."""
    if isinstance(error, BrokenPipeError):
        return f"{READER}, then {again(folder)}"
    file = error.filename or (folder and f"a file of {folder}") or "a file"
    return f"{file}: {error.strerror or error}: {REMEDIES.get(error.errno or 0, 'mend this')}, then {again(folder)}"


def again(folder: Path | None) -> str:
    """What to do once the cause of an error is gone; `folder` is of the run, if one had begun."""
    if folder is not None and (folder / "config.yaml").exists():
        return f"continue with {quoted('resume', folder)}"
    return "repeat the command, or add hydra.run.dir=FOLDER"
