"""How well a network classifies a split."""

import torch
from torch.nn import functional as F

from auroc import auroc
from data import network_input


@torch.no_grad()
def score(net, images, labels, batch=256):
    """AUROC, accuracy and mean cross-entropy of a network on images: `{"auroc", "accuracy", "loss"}`."""
    net.eval()
    at, takes = net.conv1.weight.device, net.conv1.weight.shape[1]
    logits = torch.cat([net(network_input(part.to(at), takes)).cpu() for part in images.split(batch)]).double()
    if labels.max() >= logits.shape[1]:
        raise SystemExit(f"The data have a class {labels.max()}, the network only {logits.shape[1]} classes.")
    if not logits.isfinite().all():
        raise SystemExit("The network puts out NaN or infinity: there is nothing to score.")
    return {
        "auroc": auroc(logits.softmax(1).numpy(), labels.numpy()),
        "accuracy": (logits.argmax(1) == labels).double().mean().item(),
        "loss": F.cross_entropy(logits, labels).item(),
    }
