"""How well a network classifies a split."""

import torch
from auroc import auroc
from data import network_input
from torch.nn import functional as F

# Equal-width bins of the expected calibration error (Guo et al., arXiv 1706.04599).
BINS = 15


def score(net, images, labels, batch=256):
    """`scores` of a ResNet-18 on images."""
    at, takes = net.conv1.weight.device, net.conv1.weight.shape[1]
    return scores(logits(net, (network_input(part.to(at), takes) for part in images.split(batch))), labels)


@torch.no_grad()
def logits(net, batches):
    """What a network puts out for batches of its input, in evaluation mode, as float64 on the CPU."""
    net.eval()
    return torch.cat([net(batch).cpu() for batch in batches]).double()


def scores(logits, labels):
    """AUROC, accuracy, expected calibration error and mean cross-entropy: `{"auroc", "accuracy", "ece", "loss"}`."""
    if labels.max() >= logits.shape[1]:
        raise SystemExit(f"The data have a class {labels.max()}, the network only {logits.shape[1]} classes.")
    if not logits.isfinite().all():
        raise SystemExit("The network puts out NaN or infinity: there is nothing to score.")
    probabilities = logits.softmax(1)
    return {
        "auroc": auroc(probabilities.numpy(), labels.numpy()),
        "accuracy": (logits.argmax(1) == labels).double().mean().item(),
        "ece": calibration_error(probabilities, labels),
        "loss": F.cross_entropy(logits, labels).item(),
    }


def calibration_error(probabilities, labels):
    """The mean over the images of |accuracy − confidence| of their bin, by the probability of the class that is chosen.

    Bin b holds the confidences in (b/15, (b+1)/15].
    """
    confidence, chosen = probabilities.max(1)
    place = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    surplus = torch.zeros(BINS, dtype=torch.float64).index_add_(0, place, (chosen == labels).double() - confidence.double())
    return (surplus.abs().sum() / len(labels)).item()
