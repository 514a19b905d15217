"""Weights as a safetensors file that the program and every loader read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from json import dumps, loads
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.parameter import is_lazy

from .._program import InmergeError
from .describe import Layer, unwrapped
from .describe import layers as described


def save_checkpoint(
    model: nn.Module,
    path: str | os.PathLike[str],
    example_input: Any = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a model's state dict to a safetensors file, whole or not at all.

    Every name has its own contiguous tensor, tied weights too, so that `model.load_state_dict(load_file(path))` reads it.
    With an `example_input` (a tensor, a tuple of arguments or a dict of named ones) the model runs once in evaluation mode, and the file
    says under `inmerge.layers` in which order its convolutions run and what they are. Without, the program recognises or guesses it.
    """
    model = unwrapped(model)
    order: Sequence[Layer] | None = None
    if isinstance(example_input, Mapping):
        order = described(model, **example_input)
    elif example_input is not None:
        order = described(model, *(example_input if isinstance(example_input, (tuple, list)) else (example_input,)))
    # A link stays one, and a file that is replaced keeps its permissions.
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir() or path.is_dir():
        raise InmergeError(f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'the folder that it is in is not there'}")
    mask = os.umask(0)
    os.umask(mask)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask
    # Beside the file, so that putting it in place is one step; hidden, so that `watch` passes it over.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder) / path.name
        write(tensors(model), partial, order, metadata)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        partial.chmod(mode)
        os.replace(partial, path)


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a state dict, without what else modules keep there."""
    values = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    for name, value in values.items():
        if is_lazy(value) or value.layout is not torch.strided:
            what = "is lazy: run the model once" if is_lazy(value) else f"is {value.layout}, and no plain tensor"
            raise InmergeError(f"{name} {what}")
    return values


def write(
    values: Mapping[str, torch.Tensor],
    path: Path,
    order: Sequence[Layer] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes tensors as safetensors, those that share memory one by one, with the layers' order in the metadata."""
    seen: set[int] = set()
    own: dict[str, torch.Tensor] = {}
    for name, value in values.items():
        storage = value.untyped_storage().data_ptr()
        value = value.detach()
        own[name] = value.clone(memory_format=torch.contiguous_format) if storage in seen else value.contiguous()
        seen.add(storage)
    extra = {"format": "pt", **(metadata or {})}
    if order is not None:
        extra["inmerge.layers"] = dumps(list(order))
    save_file(own, path, metadata=extra)
    _sort_metadata(path)


def _sort_metadata(path: Path) -> None:
    """Puts the metadata's keys in order, which safetensors writes in another one each time: the same model gives the same bytes."""
    with open(path, "rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        # A header may end with spaces; longer than it was it would run into the tensors.
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))
