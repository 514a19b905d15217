"""One run of the study: a network fine-tuned with one seed in one arm, and scored."""

import time
from datetime import datetime, timezone

import torch
from arms import ARMS, Change, merge_between
from corruptions import NAMES, corrupted
from data import training_batches
from nets import from_checkpoint
from score import logits, scores
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from inmerge_ckpt.torch import layers, merge_step_, recalibrate_, selected_layers


def finetune(setting, arm, seed, data, weights, device):
    """The run's numbers, by column. `data` and `weights` are folders."""
    start, what = time.time(), ARMS[arm]
    splits, classes = setting.splits(data, seed)
    images, labels = splits["train"]
    torch.manual_seed(seed)
    net = from_checkpoint(setting.architecture, weights / f"{setting.weights}.safetensors", classes, fresh=True)
    net.to(device, memory_format=torch.channels_last)
    # SGD diverges on the networks without a norm: the gradients of their layers differ by orders of magnitude.
    optimizer = torch.optim.AdamW(net.parameters(), lr=setting.lr, weight_decay=0.01)
    order = layers(net, setting.inputs(images[:1].to(device)))
    selected = selected_layers(net, order) if what.every_step else []

    last = setting.epochs + what.more_epochs
    for epoch in range(1, last + 1):
        # Seeded anew each epoch, and no arm draws from this generator: the batches are the same in all of them.
        draws = 100_000 * seed + epoch
        torch.manual_seed(draws)
        own = torch.Generator(device).manual_seed(draws)
        masks = {}

        def after_step(own=own, masks=masks):
            for name, mask in merge_step_(net, selected, generator=own).items():
                masks[name] = masks.get(name, False) | mask

        loss = train_epoch(net, optimizer, images, labels, setting, device, after_step)
        change = Change(sum(int(mask.sum()) for mask in masks.values()), None if what.every_step else 0)
        before = measure(net, splits, setting, device) if epoch == last else None
        if what.tau is not None:
            change = merge_between(net, order, what, draws)
    if any(isinstance(module, _BatchNorm) for module in net.modules()):
        # In all arms, as statistics of old kernels would say more about the statistics than about the merge.
        shuffled = images[torch.randperm(len(images))]
        recalibrate_(net, lambda: (setting.inputs(part) for part in shuffled.split(256)))
        after = measure(net, splits, setting, device)
    else:
        after = measure(net, splits, setting, device) if what.tau is not None else before
    return {
        "finished": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "torch": torch.__version__, "device": device,
        "seconds": round(time.time() - start, 1), "images": len(images), "train_loss": round(loss, 6),
        "kernels": change.kernels, "moved": "" if change.moved is None else round(change.moved, 6),
        **after, **{f"before_{name}": value for name, value in before.items()},
    }


def train_epoch(net, optimizer, images, labels, setting, device, after_step):
    """One pass over the images in random order; the mean loss."""
    net.train()
    total = 0.0
    batches = training_batches(len(images), setting.batch)
    for batch in batches:
        x, y = setting.inputs(images[batch].to(device)), labels[batch].to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        after_step()
        total += loss.item() * len(batch)
    return total / sum(map(len, batches))


def measure(net, splits, setting, device):
    """Scores on the validation images, on the test images, and on these under every corruption."""
    row = {}

    def add(prefix, images, labels, metrics):
        found = scores(logits(net, (setting.inputs(part.to(device)) for part in images.split(256))), labels)
        row.update({f"{prefix}_{metric}": round(found[metric], 6) for metric in metrics})

    for split in ("val", "test"):
        add(split, *splits[split], ("auroc", "accuracy", "ece", "loss"))
    images, labels = splits["test"]
    for name in NAMES:
        add(name, corrupted(images, name), labels, ("auroc", "accuracy", "ece"))
    return row
