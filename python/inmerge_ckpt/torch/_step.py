"""The authors' rule: merging after every optimizer step, in PyTorch, where the weights are."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn

from .._commands import LayerFlags, inspect, patterns
from .._program import InmergeError, UsageError
from ._frozen import frozen_layers
from ._save import tensors, write
from .describe import Layer, unwrapped

if TYPE_CHECKING:
    from typing_extensions import Unpack


def selected_layers(model: nn.Module, layers: Sequence[Layer] | None = None, **flags: Unpack[LayerFlags]) -> list[str]:
    """The names of the weights that take part in merging, in depth order, as the program's `inspect` selects them.

    Frozen weights (`requires_grad` is False) do not.
    `layers` is what `inmerge_ckpt.torch.layers(model, images)` returned; without it the program recognises or guesses the order.
    The flags are `skip_shallow`, `include`, `exclude` and `kinds`.
    """
    with tempfile.TemporaryDirectory(prefix="inmerge-") as folder:
        file = Path(folder) / "model.safetensors"
        net = unwrapped(model)
        write(tensors(net), file, layers)
        flags["exclude"] = [*patterns(flags.get("exclude")), *frozen_layers(net, file)]
        return [layer.name for layer in inspect(file, **flags).layers if layer.selected]


@torch.no_grad()
def merge_step_(
    model: nn.Module,
    layers: Sequence[str],
    *,
    tau: float = 0.3,
    alpha: float = 0.8,
    prob: float = 0.3,
    generator: torch.Generator | None = None,
) -> dict[str, torch.Tensor]:
    """One step of the authors' rule, in place: call it after `optimizer.step()`.

    Each kernel of `layers` (names of weights, from `selected_layers`), with probability `prob`, is compared with one other kernel of its
    group, drawn at random, and becomes `alpha` of itself and `1 - alpha` of the other if their cosine similarity exceeds `tau`. All read
    the weights as they were. Returns a mask of the kernels that changed for each layer, on the layer's device.

    The draws come from `generator`, or from PyTorch's own. Where several processes train one model they must draw alike: each needs a
    generator of the same seed.
    """
    for name, value, least in (("tau", tau, -1.0), ("alpha", alpha, 0.0), ("prob", prob, 0.0)):
        if not isinstance(value, (int, float)) or not least <= value <= 1:
            raise UsageError(f"{name} is {value!r}; it must be a number within [{least:g}, 1]")
    if isinstance(layers, str):
        raise UsageError("layers are several names, from selected_layers")
    if generator is None and distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        raise InmergeError("several processes train this model: give each a generator of the same seed, or their weights drift apart")
    net = unwrapped(model)
    parameters = dict(net.named_parameters(remove_duplicate=False))
    changed = {}
    for name in layers:
        weight = parameters.get(name)
        if weight is None:
            raise InmergeError(f"the model has no weight {name} of its own (or computes it from others); take the names from selected_layers")
        module = net.get_submodule(name.rpartition(".")[0])
        if getattr(module, "transposed", False):
            raise InmergeError(f"{name} is a transposed convolution, which this rule does not cover; leave it out of the layers")
        changed[name] = _merge_layer(weight, getattr(module, "groups", 1), tau, alpha, prob, generator)
    return changed


def _merge_layer(
    weight: torch.Tensor, groups: int, tau: float, alpha: float, prob: float, generator: torch.Generator | None
) -> torch.Tensor:
    """Merges a layer's kernels; the mask of those that changed."""
    n, device = len(weight), weight.device
    members = n // groups  # only kernels that read the same channels are compared
    if members < 2:
        return torch.zeros(n, dtype=torch.bool, device=device)
    place = torch.arange(n, device=device)
    partner = torch.randint(members - 1, (n,), device=device, generator=generator)
    partner += partner >= place % members  # any but itself
    partner += place - place % members
    turn = (torch.rand(n, device=device, generator=generator) < prob).nonzero().squeeze(1)
    before, other = weight[turn], weight[partner[turn]]  # copies: all blends read the weights as they were
    # Half precision is blended in float32 and rounded once.
    wide = torch.float32 if weight.dtype in (torch.float16, torch.bfloat16) else weight.dtype
    a, b = before.to(wide), other.to(wide)
    above = torch.cosine_similarity(a.flatten(1), b.flatten(1)) > tau
    blend = (alpha * a + (1 - alpha) * b).to(weight.dtype)
    weight[turn] = torch.where(above.view(-1, *[1] * (weight.ndim - 1)), blend, before)
    changed = torch.zeros(n, dtype=torch.bool, device=device)
    changed[turn] = above
    return changed
