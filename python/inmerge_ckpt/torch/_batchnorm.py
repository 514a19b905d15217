"""BatchNorm's running statistics after a merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from .._program import InmergeError

STATISTICS = ["running_mean", "running_var", "num_batches_tracked"]


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
    """Estimates the running mean and variance of every BatchNorm anew, frozen ones too, as the average over these batches.

    A batch is what the model takes: a tensor, a tuple or list that begins with it, or a dict of its arguments. A function that returns
    the batches serves where a loader gives something else: `lambda: (batch["image"] for batch in loader)`. They should be shuffled.
    `torch.optim.swa_utils.update_bn` does the work; modes and PyTorch's random numbers are afterwards as they were before, and where it
    fails, or there is no batch (InmergeError), the statistics too.
    """
    modes = {module: module.training for module in model.modules()}
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [(norm, norm.momentum, {name: value.clone() for name in STATISTICS if (value := getattr(norm, name)) is not None}) for norm in norms]
    devices = {value.device.index for value in model.parameters() if value.device.type == "cuda"}
    seen = 0

    def counted() -> Iterator[Any]:
        nonlocal seen
        for batch in batches() if callable(batches) else batches:
            seen += 1
            yield batch

    try:
        with torch.random.fork_rng(devices=sorted(index for index in devices if index is not None)):
            update_bn(counted(), _Batches(model))
        if norms and not seen:
            raise InmergeError("there is no batch to estimate BatchNorm's statistics from; give a loader, or a function that returns one")
    except BaseException:
        for norm, momentum, statistics in before:
            norm.momentum = momentum
            for name, value in statistics.items():
                getattr(norm, name).copy_(value)
        raise
    finally:
        for module, training in modes.items():
            module.training = training
