"""The commands, one function each. Arguments have the names and defaults of the flags, which `inmerge-ckpt COMMAND --help` explains."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from ._program import run
from ._reports import Diff, Inspection, MergeReport

if TYPE_CHECKING:
    from typing_extensions import Unpack

Path = str | os.PathLike[str]


class LayerFlags(TypedDict, total=False):
    """Which layers take part."""

    skip_shallow: int
    include: Iterable[str] | str
    exclude: Iterable[str] | str
    kinds: str


class MergeFlags(LayerFlags, total=False):
    """How kernels merge. `tau` is a cosine similarity in [-1, 1], a share of each layer's kernels such as "5%", or "chance=1%"."""

    tau: float | str
    alpha: float
    prob: float
    partner: str
    rounds: int
    seed: int
    config: Path
    plan: Path
    report: Path
    no_titles: bool
    carry: Iterable[str] | str
    force: bool
    require_merges: bool
    allow_nonfinite: bool
    threads: int
    backend: str


def patterns(value: Iterable[str] | str | None) -> list[str]:
    """What `include` and `exclude` take: one pattern, or several."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def merge(
    input: Path,
    output: Path | None = None,
    *,
    dry_run: bool = False,
    order: Path | None = None,
    layers: Path | None = None,
    state_dict: str | None = None,
    momentum: str | None = None,
    no_sync: bool = False,
    **flags: Unpack[MergeFlags],
) -> MergeReport:
    """Decides which kernels of `input` merge, and writes it to `output` with them merged.

    The flags are those of the command line: `tau`, `alpha`, `prob`, `partner`, `rounds`, `seed`, `skip_shallow`, `include`,
    `exclude`, `kinds`, `carry`, `config`, `plan`, `report`, `no_titles`, `force`, `require_merges`, `allow_nonfinite`, `threads`, `backend`.
    Without `output`, `dry_run` must be given.
    Raises InmergeError with the program's sentence; NothingMerged with `require_merges` where nothing merges.
    """
    own = {"dry_run": dry_run, "order": order, "layers": layers, "state_dict": state_dict, "momentum": momentum, "no_sync": no_sync}
    paths = [input] if output is None else [input, output]
    return MergeReport.of(run("merge", paths, {**own, **flags}))


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
    order: Path | None = None,
    layers: Path | None = None,
    config: Path | None = None,
    state_dict: str | None = None,
    **flags: Unpack[LayerFlags],
) -> Inspection:
    """The layers of a checkpoint: order, kind, and which would take part.

    The flags are those of the command line: `skip_shallow`, `include`, `exclude`, `kinds`.
    """
    own = {"order": order, "layers": layers, "config": config, "state_dict": state_dict}
    return Inspection.of(run("inspect", [input], {**own, **flags}))


def diff(a: Path, b: Path, *, state_dict: str | None = None) -> Diff:
    """What differs between two checkpoints, kernel by kernel."""
    return Diff.of(run("diff", [a, b], {"state_dict": state_dict}))


def analyze(
    input: Path,
    report: Path,
    *,
    no_spectrum: bool = False,
    png: str | None = None,
    pdf: str | None = None,
    no_titles: bool = False,
    force: bool = False,
    state_dict: str | None = None,
    threads: int | None = None,
    backend: str | None = None,
    **flags: Unpack[LayerFlags],
) -> dict[str, Any]:
    """Writes a report on how redundant each layer's kernels are into the folder `report`, and returns the numbers in it.

    These are the contents of `report.json` there. The flags are those of the command line: `skip_shallow`, `include`, `exclude`, `kinds`.
    """
    own = {"report": report, "no_spectrum": no_spectrum, "png": png, "pdf": pdf, "no_titles": no_titles, "force": force,
           "state_dict": state_dict, "threads": threads, "backend": backend}
    result: dict[str, Any] = run("analyze", [input], {**own, **flags})
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
