"""What the commands report. A later version may add fields: those that are not known here are left out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

Report = TypeVar("Report")


def of(kind: type[Report], values: dict[str, Any], **more: Any) -> Report:
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names} | more)


@dataclass(frozen=True)
class Parameters:
    """The parameters that held where a layer had none of its own."""

    tau: float | str
    alpha: float
    prob: float
    skip_shallow: int
    partner: str
    rounds: int
    seed: int


@dataclass(frozen=True)
class MergedLayer:
    """A layer that took part."""

    name: str
    copies: list[str]
    depth: int | None
    kind: str
    shape: list[int]
    kernels: int
    merged: int
    max_similarity: float | None
    tau: float | None
    relative_change: float | None
    """The Frobenius norm of the change over that of the weight."""


@dataclass(frozen=True)
class Totals:
    """Sums over the layers."""

    layers: int
    kernels: int
    merged: int
    pairs_above_tau: int | None


@dataclass(frozen=True)
class MergeReport:
    """What `merge` or `apply` did."""

    input: str
    output: str | None
    backend: str
    parameters: Parameters
    layers: list[MergedLayer]
    totals: Totals
    warnings: list[str]
    seconds: float
    report: str | None = None
    carried: int | None = None
    momentum: int | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> MergeReport:
        layers = [of(MergedLayer, layer) for layer in values["layers"]]
        return of(cls, values, parameters=of(Parameters, values["parameters"]), layers=layers, totals=of(Totals, values["totals"]))


@dataclass(frozen=True)
class Layer:
    """A layer of a checkpoint, and why it is left alone if it is."""

    name: str
    copies: list[str]
    depth: int | None
    kind: str
    groups: int
    shape: list[int]
    dtype: str
    kernels: int
    selected: bool
    reason: str | None
    network: str | None
    norm: str | None


@dataclass(frozen=True)
class Inspection:
    """The layers of a checkpoint."""

    file: str
    bytes: int
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    metadata: dict[str, str]
    order_source: str
    layers: list[Layer]
    warnings: list[str]

    @classmethod
    def of(cls, values: dict[str, Any]) -> Inspection:
        return of(cls, values, layers=[of(Layer, layer) for layer in values["layers"]])


@dataclass(frozen=True)
class Difference:
    """How a tensor differs between two checkpoints."""

    name: str
    status: str
    kernels_changed: list[int] | None = None
    relative_change: float | None = None
    max_abs: float | None = None


@dataclass(frozen=True)
class Diff:
    """What differs between two checkpoints."""

    identical: bool
    header_identical: bool
    tensors: list[Difference]

    @classmethod
    def of(cls, values: dict[str, Any]) -> Diff:
        return of(cls, values, tensors=[of(Difference, tensor) for tensor in values["tensors"]])
