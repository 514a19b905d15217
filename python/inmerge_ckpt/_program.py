"""The program that the package brings, and what it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAME = "inmerge-ckpt"


class InmergeError(Exception):
    """A command failed; no output was written or replaced. The message is the program's own sentence."""


class UsageError(InmergeError):
    """An argument is out of its range, or arguments contradict each other."""


class NothingMerged(InmergeError):
    """Merges were required, and no kernel merged."""


class InmergeWarning(UserWarning):
    """A command did what it was asked to, and says what may be wrong: a guess, a layer left alone, nothing merged."""


def program() -> str:
    """The path of the program: what `INMERGE_PROGRAM` names, or else the one that came with the package.

    Raises InmergeError where it is not installed.
    """
    if named := os.environ.get("INMERGE_PROGRAM"):
        return named
    beside = Path(__file__).resolve().parent.parent
    schemes = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user"), str(beside / "bin")]
    found = shutil.which(NAME, path=os.pathsep.join(schemes)) or shutil.which(NAME)
    if found is None:
        raise InmergeError(f"there is no {NAME} in {', '.join(schemes)} or on PATH; install the package again")
    return found


def flags(options: dict[str, Any]) -> list[str]:
    """Keyword arguments as flags: True is a flag alone, None and False are left out, a list is a flag for each item."""
    words: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, (list, tuple)):
            words += [f"{flag}={item}" for item in value]
        elif value is not None and value is not False:
            words.append(f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return words


def _outside() -> int:
    """How many calls up the code stands that called this package."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    return level


def run(command: str, paths: Iterable[str | os.PathLike[str]], options: dict[str, Any]) -> Any:
    """What a command prints as JSON. What it warns of is an InmergeWarning at the line that called the package."""
    # What begins with a dash is no flag.
    line = [program(), command, "--json", *flags(options), "--", *(os.fspath(path) for path in paths)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        result = json.loads(done.stdout)
        for warning in result.get("warnings", []):
            warnings.warn(warning, InmergeWarning, stacklevel=_outside())
        return result
    kinds = {2: UsageError, 3: NothingMerged}
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")] or done.stderr.splitlines()
    # How the command is used on a shell is of no help here.
    message = "\n".join(lines).partition("\n\nUsage: ")[0].removeprefix("error: ").strip()
    raise kinds.get(done.returncode, InmergeError)(message or f"{NAME} ended with {done.returncode}")
