"""The program that the package brings, and what it answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
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
        if shutil.which(named) is None:
            raise InmergeError(f"INMERGE_PROGRAM is {named}, which is not there to run")
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
        elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            words += [f"{flag}={item}" for item in value]
        elif value is not None and value is not False:
            words.append(f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return words


def warn(message: str) -> None:
    """Warns at the line that called this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, InmergeWarning, stacklevel=level)


def run(command: str, paths: Iterable[str | os.PathLike[str]], options: dict[str, Any]) -> Any:
    """What a command prints as JSON. What it warns of is an InmergeWarning at the line that called the package.

    The command has done its work then, also where a filter makes an exception of the warning.
    """
    # What begins with a dash is no flag.
    line = [program(), command, "--json", *flags(options), "--", *(os.fspath(path) for path in paths)]
    # The program speaks UTF-8 whatever the locale is.
    options_of_run: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "encoding": "utf-8", "errors": "replace"}
    try:
        done = subprocess.run(line, check=False, **options_of_run)
    except OSError as error:
        raise InmergeError(f"{line[0]} does not run: {error.strerror}") from error
    if done.returncode == 0:
        try:
            result = json.loads(done.stdout)
        except ValueError as error:
            raise InmergeError(f"{line[0]} is not {NAME}: it printed no JSON") from error
        for warning in result.get("warnings", []):
            warn(warning)
        return result
    kinds = {2: UsageError, 3: NothingMerged}
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")] or done.stderr.splitlines()
    # How the command is used on a shell is of no help here.
    paragraphs = "\n".join(lines).removeprefix("error: ").split("\n\n")
    message = "\n\n".join(text for text in paragraphs if not text.startswith(("Usage: ", "For more information"))).strip()
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        message = f"{NAME} was ended by {name}" + (", as it is where memory runs out" if name == "SIGKILL" else "")
    raise kinds.get(done.returncode, InmergeError)(message or f"{NAME} ended with {done.returncode}")
