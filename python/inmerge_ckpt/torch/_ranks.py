"""One process decides, the others follow: merging where several train one model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import distributed

from .._program import InmergeError

Result = TypeVar("Result")
# Tensors by part (weights, momentum, average) and by the name of the weight that they belong to.
Parts = dict[str, dict[str, torch.Tensor]]


def on_first_rank(work: Callable[[], tuple[Result, Iterable[str]]], parts: Parts) -> Result:
    """Does `work` on rank 0, which changes the tensors of the names that it returns, and gives these and its result to all others.

    An error of rank 0 is raised on all.
    """
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return work()[0]
    ranks: list[list[tuple[str, int]] | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(ranks, sorted((part, len(tensors)) for part, tensors in parts.items()))
    if any(rank != ranks[0] for rank in ranks):
        raise InmergeError("the processes have different parts to merge: give merge_ the same optimizer and average in all of them")
    said: list[object] = [None]
    if distributed.get_rank() == 0:
        try:
            result, names = work()
            said = [(result, list(names))]
        except Exception as error:  # noqa: BLE001 (whatever it is, the others wait for it)
            said = [error]
    distributed.broadcast_object_list(said, src=0)
    if isinstance(said[0], Exception):
        raise said[0]
    result, names = said[0]  # type: ignore[misc]
    for _, tensors in sorted(parts.items()):
        for name in names:
            if name in tensors:
                _from_first(tensors[name])
    return result


def _from_first(tensor: torch.Tensor) -> None:
    whole = tensor.contiguous()
    distributed.broadcast(whole, src=0)
    tensor.copy_(whole)
