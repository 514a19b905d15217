"""The commands, one function each. Arguments have the names and defaults of the flags, which `inmerge-ckpt COMMAND --help` explains."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ._program import run
from ._reports import Diff, Inspection, MergeReport

Path = str | os.PathLike[str]


def merge(
    input: Path,
    output: Path | None = None,
    *,
    tau: float | str | None = None,
    alpha: float | None = None,
    prob: float | None = None,
    partner: str | None = None,
    rounds: int | None = None,
    seed: int | None = None,
    momentum: str | None = None,
    skip_shallow: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    kinds: str | None = None,
    order: Path | None = None,
    layers: Path | None = None,
    config: Path | None = None,
    state_dict: str | None = None,
    plan: Path | None = None,
    report: Path | None = None,
    dry_run: bool = False,
    force: bool = False,
    require_merges: bool = False,
    allow_nonfinite: bool = False,
    no_sync: bool = False,
    threads: int | None = None,
    backend: str | None = None,
) -> MergeReport:
    """Decides which kernels of `input` merge, and writes it to `output` with them merged.

    `tau` is a cosine similarity in [-1, 1] or a share such as "5%". Without `output`, `dry_run` must be given.
    Raises InmergeError with the program's sentence; NothingMerged with `require_merges` where nothing merges.
    """
    options = dict(locals())
    paths = [path for path in (options.pop("input"), options.pop("output")) if path is not None]
    return MergeReport.of(run("merge", paths, options))


def apply(
    plan: Path,
    input: Path,
    output: Path,
    *,
    prefix: str | None = None,
    momentum: str | None = None,
    state_dict: str | None = None,
    force: bool = False,
    require_merges: bool = False,
    no_sync: bool = False,
    threads: int | None = None,
) -> MergeReport:
    """Writes `input` to `output` with the merges that a plan of `merge` lists."""
    options = dict(locals())
    paths = [options.pop(name) for name in ("plan", "input", "output")]
    return MergeReport.of(run("apply", paths, options))


def inspect(
    input: Path,
    *,
    skip_shallow: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    kinds: str | None = None,
    order: Path | None = None,
    layers: Path | None = None,
    config: Path | None = None,
    state_dict: str | None = None,
) -> Inspection:
    """The layers of a checkpoint: order, kind, and which would take part."""
    options = dict(locals())
    return Inspection.of(run("inspect", [options.pop("input")], options))


def diff(a: Path, b: Path, *, state_dict: str | None = None) -> Diff:
    """What differs between two checkpoints, kernel by kernel."""
    return Diff.of(run("diff", [a, b], {"state_dict": state_dict}))


def analyze(
    input: Path,
    report: Path,
    *,
    no_spectrum: bool = False,
    force: bool = False,
    skip_shallow: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    kinds: str | None = None,
    state_dict: str | None = None,
    threads: int | None = None,
    backend: str | None = None,
) -> dict[str, Any]:
    """Writes a report on how redundant each layer's kernels are into the folder `report`, and returns the numbers in it.

    These are the contents of `report.json` there.
    """
    options = dict(locals())
    result: dict[str, Any] = run("analyze", [options.pop("input")], options)
    return result


def wait(
    output: Path,
    *,
    source: Path | None = None,
    timeout: float | str | None = None,
    poll: float | str | None = None,
) -> float:
    """Waits until `watch` has merged a checkpoint, that of the present state of `source` if it is given; the seconds it took."""
    options = dict(locals())
    seconds: float = run("wait", [options.pop("output")], options)["seconds"]
    return seconds
