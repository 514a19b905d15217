"""Data for the quickstarts, made on the spot: noisy grey images of 32x32, with a bright disc in class 1."""

import torch
from torch.utils.data import DataLoader, TensorDataset


def toy_images(count, seed):
    """Images as float32 [count, 1, 32, 32] and labels as int64 [count]."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 32, 32, generator=generator)
    labels = torch.randint(0, 2, (count,), generator=generator)
    place = torch.arange(32) - 15.5
    disc = (place[:, None] ** 2 + place[None] ** 2 < 64).float()
    return images + 0.3 * labels.view(-1, 1, 1, 1) * disc, labels


def toy_loaders(train=512, validation=256, batch_size=64):
    """A loader that shuffles, and one that does not."""
    first, second = TensorDataset(*toy_images(train, 0)), TensorDataset(*toy_images(validation, 1))
    return DataLoader(first, batch_size, shuffle=True), DataLoader(second, batch_size)
