"""BatchNorm's running statistics after a merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn


class _Batches(nn.Module):
    """Calls a network with a batch as loaders give it."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self.device = next(net.parameters()).device

    def forward(self, batch: Any) -> Any:
        if isinstance(batch, Mapping):
            return self.net(**{name: value.to(self.device) if hasattr(value, "to") else value for name, value in batch.items()})
        return self.net(batch.to(self.device))


@torch.no_grad()
def recalibrate_(model: nn.Module, batches: Iterable[Any] | Callable[[], Iterable[Any]]) -> None:
    """Estimates the running mean and variance of every BatchNorm anew, as the average over these batches.

    A batch is what the model takes: a tensor, a tuple or list that begins with it, or a dict of its arguments. A function that returns
    the batches serves where a loader gives something else: `lambda: (batch["image"] for batch in loader)`. The batches are those of
    `torch.optim.swa_utils.update_bn`, which does the work; modes and random numbers are afterwards as they were before.
    """
    modes = {module: module.training for module in model.modules()}
    devices = {value.device.index for value in model.parameters() if value.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(index for index in devices if index is not None)):
            update_bn(batches() if callable(batches) else batches, _Batches(model))
    finally:
        for module, training in modes.items():
            module.training = training
