"""What the arms of the study do between epochs."""

import copy
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from inmerge_ckpt.torch import merge_


@dataclass(frozen=True)
class Arm:
    """One way of fine-tuning; all else is the same in all of them."""

    tau: float | str | None = None  # merge_ with this threshold after every epoch, the last too
    control: object = None  # what becomes, in place of a merge, of the kernels that would have merged
    anywhere: bool = False  # of as many kernels of each layer, drawn at random, instead
    carry: str | None = None  # what belongs to a kernel besides its weights, and is blended with it
    every_step: bool = False  # the authors' rule, after each optimizer step
    more_epochs: int = 0


@dataclass(frozen=True)
class Change:
    """What was done to the kernels of a net at once."""

    kernels: int  # how many changed
    moved: float | None  # ‖ΔW‖ / ‖W‖ over these; None after every step, where there is no one change


# Controls take kernels `[n, d]`, the partners that merging chose, random ones, and α; they give the kernels' new values.


def similar(own, partner, other, alpha):
    """What merging itself does."""
    return alpha * own + (1 - alpha) * partner


def random(own, partner, other, alpha):
    """A random partner in place of the similar one."""
    return alpha * own + (1 - alpha) * other


def matched(own, partner, other, alpha):
    """Towards the random partner, as far as merging would have moved the kernel. Copies of a kernel give no direction, and stay."""
    far = (1 - alpha) * (partner - own).norm(dim=1, keepdim=True)
    way = other - own
    return own + way * (far / way.norm(dim=1, keepdim=True)).nan_to_num(0, 0, 0)


def shrink(own, partner, other, alpha):
    """As long as merging would have made the kernel, in its own direction."""
    return own * (similar(own, partner, other, alpha).norm(dim=1, keepdim=True) / own.norm(dim=1, keepdim=True))


# `none` first: others are compared with it.
ARMS = {
    "none": Arm(),
    "between-20%": Arm("20%"),
    "matched-20%": Arm("20%", matched),
    "random-20%": Arm("20%", random),
    "shrink-20%": Arm("20%", shrink),
    "none+epoch": Arm(more_epochs=1),
    "between-chance=1%": Arm("chance=1%"),
    "between-5%": Arm("5%"),
    "between-0.3": Arm(0.3),
    "every-step": Arm(every_step=True),
    "carried-20%": Arm("20%", carry="norm,affine,bias"),
    "anywhere-20%": Arm("20%", random, anywhere=True),
}
# The comparisons that the plan calls primary, each of an arm with another, and the arms in them.
PRIMARY = [("between-20%", "none"), ("between-20%", "matched-20%")]
COMPARED = {arm for pair in PRIMARY for arm in pair}


def merge_between(net, order, arm, seed):
    """Merges a net in training, or does the arm's control to the kernels that would merge; the Change."""
    weights = dict(net.named_parameters())
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        before = {name: value.detach().clone() for name, value in weights.items() if value.ndim == 4}
        merge_(net if arm.control is None else copy.deepcopy(net), layers=order, tau=arm.tau, carry=arm.carry, seed=seed, plan=plan)
        planned = [layer for layer in json.loads(plan.read_text())["layers"] if layer["merges"]]
    if arm.control is not None:
        generator = torch.Generator().manual_seed(seed)
        if arm.anywhere:
            planned = [redrawn(layer, generator) for layer in planned]
        for layer in planned:
            control_(weights[layer["name"]], layer, arm.control, generator)
    changed, length = 0.0, 0.0
    for layer in planned:
        name, kernels = layer["name"], [merge["kernel"] for merge in layer["merges"]]
        changed += (weights[name].detach()[kernels] - before[name][kernels]).double().square().sum().item()
        length += before[name][kernels].double().square().sum().item()
    return Change(sum(len(layer["merges"]) for layer in planned), (changed / length) ** 0.5 if planned else 0.0)


def redrawn(layer, generator):
    """A plan's layer with as many merges, of kernels drawn at random. Their partners are those of the others, and mean nothing here."""
    drawn = torch.randperm(layer["kernels"], generator=generator).tolist()
    return layer | {"merges": [merge | {"kernel": kernel} for merge, kernel in zip(layer["merges"], drawn, strict=False)]}


@torch.no_grad()
def control_(weight, layer, control, generator):
    """Does a control to the kernels of a weight that a layer of a plan, of one round, merges. All read the weight as it was."""
    kernels = torch.tensor([merge["kernel"] for merge in layer["merges"]])
    partners = torch.tensor([merge["partner"] for merge in layer["merges"]])
    members = layer["kernels"] // layer["groups"]  # a partner reads the same channels
    others = torch.randint(members - 1, kernels.shape, generator=generator)
    others += others >= kernels % members  # any but itself
    others += kernels - kernels % members
    flat = weight.flatten(1)
    own, partner, other = (flat[rows.to(weight.device)] for rows in (kernels, partners, others))
    weight[kernels.to(weight.device)] = control(own, partner, other, layer["alpha"]).reshape(-1, *weight.shape[1:])
