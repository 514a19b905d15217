"""What the study fine-tunes, on which data and how: reports/study/PLAN.md as code."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import zoo
from data import load
from torch.nn import functional as F


@dataclass(frozen=True)
class Setting:
    """A network from pretrained.py on a MedMNIST set."""

    weights: str  # the file without its .safetensors: a name of zoo.NETS, or of a network of torchvision
    data: str  # the file without its .npz
    size: int  # height and width that images are resized to
    lr: float
    epochs: int
    batch: int = 32
    flipped: float = 0  # share of the training labels that are wrong
    share: float = 1  # share of the training images that there are

    @property
    def architecture(self):
        """The network's name in nets.py."""
        return zoo.NETS[self.weights].architecture if self.weights in zoo.NETS else self.weights

    def inputs(self, images):
        """Grey values of 0 to 255, `[N, C, H, W]`, as the network takes them."""
        resized = F.interpolate(images.float(), (self.size, self.size), mode="bilinear", align_corners=False)
        takes = zoo.NETS[self.weights].input if self.weights in zoo.NETS else zoo.IMAGENET
        return takes.prepare(resized).contiguous(memory_format=torch.channels_last)

    def splits(self, folder, seed):
        """`{split: (images, labels)}`; which training images there are and whose labels are wrong follows from the seed."""
        splits = load(folder / f"{self.data}.npz", "train", "val", "test")
        images, labels = splits["train"]
        classes = int(max(part[1].max() for part in splits.values())) + 1
        random = np.random.default_rng(seed)
        kept = subset(labels.numpy(), self.share, random)
        splits["train"] = images[kept], torch.from_numpy(flip(labels[kept].numpy(), classes, self.flipped, random))
        return {split: (pixels(part), labels) for split, (part, labels) in splits.items()}, classes


def pixels(images):
    """uint8 `[N, H, W]` or `[N, H, W, 3]` as `[N, C, H, W]`."""
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def subset(labels, share, random):
    """The places of a share of each class, rounded up, in the order of the file."""
    kept = [random.permutation(found)[:int(np.ceil(share * len(found)))] for c in np.unique(labels) for found in [np.flatnonzero(labels == c)]]
    return np.sort(np.concatenate(kept))


def flip(labels, classes, share, random):
    """Labels of which this share, rounded, is another class, all others equally likely."""
    wrong = random.permutation(len(labels))[:round(share * len(labels))]
    labels = labels.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, classes, len(wrong))) % classes
    return labels


NETS = {
    "resnet50-thin": Setting("resnet50-thin", "breastmnist", size=32, lr=0.0003, epochs=6),
    "vgg16": Setting("vgg16-hed", "breastmnist", size=32, lr=0.0001, epochs=6),
    "efficientnet-lite0": Setting("efficientnet-lite0", "breastmnist", size=48, lr=0.003, epochs=6),
}

# What is fine-tuned on, for each network.
SETS = {
    "breast": {},
    "breast-noisy": {"flipped": 0.2},
    "pneumonia-tenth": {"data": "pneumoniamnist", "share": 0.1},
    "pneumonia": {"data": "pneumoniamnist", "epochs": 3},
}
# In the order in which they run.
SETTINGS = {f"{net}-{part}": replace(NETS[net], **SETS[part]) for net, part in (
    ("resnet50-thin", "breast"), ("resnet50-thin", "breast-noisy"), ("resnet50-thin", "pneumonia-tenth"), ("efficientnet-lite0", "breast"),
    ("resnet50-thin", "pneumonia"), ("vgg16", "breast"), ("vgg16", "pneumonia"), ("vgg16", "breast-noisy"), ("vgg16", "pneumonia-tenth"),
    ("efficientnet-lite0", "pneumonia"))}

# For GPUs: torchvision's weights on MedMNIST's sets of 224x224. They are no part of the plan, and need one of their own.
LARGER = {f"{weights}-{data}-224": Setting(weights, f"{data}mnist_224", size=224, lr=0.0001, epochs=10)
          for data in ("breast", "pneumonia") for weights in ("resnet50", "vgg16")}
