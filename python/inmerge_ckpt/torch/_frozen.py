"""Weights that are not trained, which merging leaves alone."""

from __future__ import annotations

import glob
import warnings
from pathlib import Path

from torch import nn

from .._commands import inspect
from .._program import InmergeWarning


def frozen_layers(net: nn.Module, file: Path) -> list[str]:
    """The layers of a model's file whose weights do not ask for a gradient, as patterns for `exclude`."""
    frozen = {name for name, value in net.named_parameters(remove_duplicate=False) if not value.requires_grad and value.ndim > 1}
    if not frozen:
        return []
    # Only names of layers may be excluded.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InmergeWarning)  # the merge says the same
        known = {name for layer in inspect(file).layers for name in (layer.name, *layer.copies)}
    return [glob.escape(name).replace("{", "[{]") for name in sorted(frozen & known)]
