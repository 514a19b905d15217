"""Merging a network in training, where it is."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import nn
from torch.optim import Optimizer

from .._commands import MergeFlags, apply, merge, patterns
from .._program import InmergeError, UsageError, warn
from .._reports import MergeReport
from ._frozen import frozen_layers
from ._ranks import Parts, on_first_rank
from ._save import tensors, write
from .describe import Layer, unwrapped

if TYPE_CHECKING:
    from typing_extensions import Unpack

# A model, its state dict, or a function that returns one of them.
Average = nn.Module | Mapping[str, Any] | Callable[[], Any]
# What optimizers call the momentum that is blended like the weights (`--momentum merge`).
MOMENTUM = ["exp_avg", "momentum_buffer"]
WEIGHTS = "weights"


def merge_(
    model: nn.Module,
    *,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    ema: Average | None = None,
    layers: Sequence[Layer] | str | os.PathLike[str] | None = None,
    **flags: Unpack[MergeFlags],
) -> MergeReport:
    """Merges the kernels of a model in training, in place, as `merge` does in a file; parameters keep their identity.

    `optimizer` (or several): their momentum (`exp_avg`, `momentum_buffer`) of merged kernels is blended along; without it each kernel
    keeps the momentum it had. `ema`: an average of the weights, to which the same merges are done: a model such as PyTorch's
    `AveragedModel`, a state dict, or a function that returns one. `layers`: the order in which the convolutions run, from
    `inmerge_ckpt.torch.layers(model, images)`, which also says which BatchNorm is behind which convolution (for `carry`); without it the
    program recognises or guesses it. The flags are those of `inmerge_ckpt.merge`.

    Frozen weights (`requires_grad` is False) are left alone. Where several processes train the model, all call this; the first decides,
    and broadcasts. Weights that are sharded among processes (FSDP, DeepSpeed) are refused.
    """
    if unknown := flags.keys() - MergeFlags.__annotations__.keys():
        raise UsageError(f"merge_ takes no {' and no '.join(sorted(unknown))}")
    net = unwrapped(model)

    def parts() -> Parts:
        refuse_sharded(net)
        own = {name: value for name, value in tensors(net).items() if value.is_floating_point()}
        found: Parts = {WEIGHTS: own, **_momenta(net, optimizer)}
        if ema is not None:
            found["average"] = _average(ema, own)
        for part, values in found.items():
            _refuse_unwritable(part, values)
        return found

    # Not as a decorator: warnings name the line that calls.
    with torch.no_grad():
        return on_first_rank(parts, lambda parts: _merge(net, parts, layers, flags))


def _merge(
    net: nn.Module, parts: Parts, layers: Sequence[Layer] | str | os.PathLike[str] | None, flags: MergeFlags
) -> tuple[MergeReport, list[str]]:
    """Merges all parts, through files; what was done, and the names of the weights that changed."""
    with tempfile.TemporaryDirectory(prefix="inmerge-") as name:
        folder = Path(name)
        trained, merged = folder / "trained.safetensors", folder / "merged.safetensors"
        plan = Path(flags.get("plan") or folder / "plan.json")
        listed = None if layers is None or isinstance(layers, (str, os.PathLike)) else layers
        write(parts[WEIGHTS], trained, listed)
        excluded = [*patterns(flags.get("exclude")), *frozen_layers(net, trained)]
        options: MergeFlags = {**flags, "plan": plan, "include": patterns(flags.get("include")), "exclude": excluded}
        path = layers if isinstance(layers, (str, os.PathLike)) else None
        report = merge(trained, merged, layers=path, no_sync=True, **options)
        planned = loads(plan.read_text())["layers"]
        names = {layer.name: [layer.name, *layer.copies] for layer in report.layers if layer.merged}
        # Biases and BatchNorms, with `carry`.
        along = [name for layer in planned if layer["merges"] for kind in layer.get("carried", {}).values() for name in kind]
        files = {WEIGHTS: merged}
        if names:
            for part in parts.keys() - {WEIGHTS}:
                # Weights without momentum, as before the first step, have zeros for it.
                weights = [layer["name"] for layer in planned]
                values = {name: parts[part].get(name, torch.zeros_like(parts[WEIGHTS][name])) for name in weights}
                values |= {name: parts[part][name] for name in along if name in parts[part]}
                before, files[part] = folder / f"{part}.safetensors", folder / f"{part}-merged.safetensors"
                write(values, before)
                apply(plan, before, files[part], prefix="", no_sync=True)
            # All or nothing: no tensor is changed before every file is there.
            for part, file in files.items():
                _read(file, parts[part], names | {name: [name] for name in along if name in parts[part]})
        changed = [*(name for copies in names.values() for name in copies), *along]
        return dataclasses.replace(report, input=type(net).__name__, output=None), changed


def _read(file: Path, into: Mapping[str, torch.Tensor], names: Mapping[str, Iterable[str]]) -> None:
    """Copies each merged weight to all its names."""
    with safe_open(file, framework="pt") as values:
        for weight, copies in names.items():
            value = values.get_tensor(weight)
            for name in copies:
                if name in into:
                    into[name].copy_(value)


def _momenta(net: nn.Module, optimizer: Optimizer | Iterable[Optimizer] | None) -> Parts:
    """The momentum of each weight, a part for each name that optimizers have for it."""
    optimizers = [] if optimizer is None else [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
    parts: Parts = {}
    for one in optimizers:
        if type(one).__name__ == "ZeroRedundancyOptimizer":
            raise InmergeError("ZeroRedundancyOptimizer keeps each momentum in one process only; merge without optimizer=")
        found = False
        # timm's Lookahead keeps the state in the optimizer that it is around.
        states = getattr(one, "_base_optimizer", one).state
        for name, parameter in net.named_parameters(remove_duplicate=False):
            state = states.get(parameter, {})
            for key in MOMENTUM:
                if isinstance(value := state.get(key), torch.Tensor) and value.ndim > 1:
                    found = True
                    other = parts.setdefault(key, {}).setdefault(name, value)
                    if other is not value:
                        raise InmergeError(f"two optimizers keep {key} of {name}; give merge_ the one whose momentum is to be merged")
        if not found:
            warn(f"{type(one).__name__} keeps no {' or '.join(MOMENTUM)} of this model's weights: its state stays as it is")
    return parts


def _average(ema: Average, own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The average of each weight by the weight's name: an average may have something before the names, as `module.`."""
    value = ema() if callable(ema) and not isinstance(ema, nn.Module) else ema
    state = tensors(value) if isinstance(value, nn.Module) else value
    weights = [name for name, tensor in own.items() if tensor.ndim > 1]
    if not weights or not isinstance(state, Mapping):
        raise InmergeError("the average must be a model or a state dict, and the model must have weights")
    first = weights[0]
    prefixes = [name.removesuffix(first) for name in state if name.endswith(first)]
    fits = [prefix for prefix in prefixes if all(prefix + name in state for name in weights)]
    if len(fits) != 1:
        raise InmergeError(f"the average does not hold the model's weights: {'several' if fits else 'no'} names in it end with {first} "
                           "and have all others beside them; give the averaged model, or its state dict")
    return {name: state[fits[0] + name] for name in own if isinstance(state.get(fits[0] + name), torch.Tensor)}


def _refuse_unwritable(part: str, values: Mapping[str, torch.Tensor]) -> None:
    """Raises where a tensor cannot be changed in place, before any is."""
    for name, value in values.items():
        repeated = any(stride == 0 and extent > 1 for stride, extent in zip(value.stride(), value.shape, strict=True))
        if repeated or value.is_meta or (value.is_inference() and not torch.is_inference_mode_enabled()):
            why = "has no values (meta device)" if value.is_meta else "is expanded, or was made in inference mode"
            raise InmergeError(f"{name} ({part}) {why}, and cannot be changed in place; clone it first")


def refuse_sharded(net: nn.Module) -> None:
    """Raises where a process holds parts of the weights only, or where the optimizer writes over them from copies of its own."""
    sharded = any(type(module).__name__ == "FullyShardedDataParallel" for module in net.modules())
    for name, value in net.named_parameters():
        # DTensor; DeepSpeed's stage 3; DeepSpeed's other stages.
        if sharded or hasattr(value, "full_tensor") or hasattr(value, "ds_id") or hasattr(value, "_hp_mapping"):
            raise InmergeError(f"{name} is sharded among processes (FSDP, DeepSpeed): merge the checkpoint that the trainer saves instead")
