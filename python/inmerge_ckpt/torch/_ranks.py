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


def on_first_rank(parts: Callable[[], Parts], work: Callable[[Parts], tuple[Result, Iterable[str]]]) -> Result:
    """Does `work` on rank 0, which changes the tensors of the names that it returns, and gives these and its result to all others.

    An error of any rank is raised on all, so that none waits for another.
    """
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return work(parts())[0]
    own: Parts = {}
    said: list[object] = [None] * distributed.get_world_size()
    have: object
    try:
        own = parts()
        have = sorted((part, len(tensors)) for part, tensors in own.items())
    except Exception as error:  # noqa: BLE001 (whatever it is, the others wait for it)
        have = _to_send(error)
    distributed.all_gather_object(said, have)
    for one in said:
        if isinstance(one, Exception):
            raise one
    if any(one != said[0] for one in said):
        raise InmergeError("the processes have different parts to merge: give merge_ the same optimizer and average in all of them")
    outcome: list[object] = [None]
    if distributed.get_rank() == 0:
        try:
            result, names = work(own)
            outcome = [(result, list(names))]
        except Exception as error:  # noqa: BLE001 (whatever it is, the others wait for it)
            outcome = [_to_send(error)]
    distributed.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    result, names = outcome[0]  # type: ignore[misc]
    for _, tensors in sorted(own.items()):
        for name in names:
            if name in tensors:
                _from_first(tensors[name])
    return result


def _to_send(error: Exception) -> InmergeError:
    """An error as other processes can receive it, which is not so of every sort."""
    return error if isinstance(error, InmergeError) else InmergeError(f"{type(error).__name__}: {error}")


def _from_first(tensor: torch.Tensor) -> None:
    whole = tensor.contiguous()
    distributed.broadcast(whole, src=0)
    tensor.copy_(whole)
