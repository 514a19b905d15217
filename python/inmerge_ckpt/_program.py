"""The program that the package brings, and what it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
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


def program() -> str:
    """The path of the program.

    Raises InmergeError where it is not installed.
    """
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


def run(command: str, paths: Iterable[str | os.PathLike[str]], options: dict[str, Any]) -> Any:
    """What a command prints as JSON."""
    # What begins with a dash is no flag.
    line = [program(), command, "--json", *flags(options), "--", *(os.fspath(path) for path in paths)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    kinds = {2: UsageError, 3: NothingMerged}
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")] or done.stderr.splitlines()
    message = "\n".join(lines).removeprefix("error: ").strip()
    raise kinds.get(done.returncode, InmergeError)(message or f"{NAME} ended with {done.returncode}")
