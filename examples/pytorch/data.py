"""A MedMNIST `.npz` as tensors."""

import zipfile

import numpy as np
import torch


def load(path, *splits):
    """`{split: (images, labels)}` of a MedMNIST file: images as uint8 [N, H, W] or [N, H, W, 3], labels as int64 [N]."""
    try:
        with np.load(path) as file:
            arrays = {}
            for key in [f"{split}_{part}" for split in splits for part in ("images", "labels")]:
                if key not in file:
                    raise SystemExit(f"{path} has no {key}; a MedMNIST file has images and labels of train, val and test.")
                arrays[key] = file[key]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SystemExit(f"{path} cannot be read as .npz: {error}")
    return {split: _tensors(path, split, arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in splits}


def _tensors(path, split, images, labels):
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[-1] == 3):
        raise SystemExit(f"{path}: {split}_images is {list(images.shape)}; grey [N, H, W] or colour [N, H, W, 3] is needed.")
    if labels.shape not in [(len(images),), (len(images), 1)]:
        raise SystemExit(f"{path}: {split}_labels is {list(labels.shape)}; one label an image is needed (no multi-label sets).")
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64).reshape(-1))


def training_batches(count, size):
    """The places of so many images in random order, in batches."""
    batches = torch.randperm(count).split(size)
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches = batches[:-1]  # batch normalisation cannot take a lone image
    return batches


def shuffled(images, takes, device, batch=64):
    """Batches of network input in an order that is random and always the same: what BatchNorm's statistics are estimated from."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return (network_input(images[part], takes).to(device) for part in order.split(batch))


def channels(images):
    """1 for grey images, 3 for colour."""
    return 1 if images.ndim == 3 else 3


def network_input(images, wanted):
    """uint8 images as float32 [N, wanted, H, W] in [-1, 1]; grey ones are repeated where the network takes colour."""
    x = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    x = x.float().div_(127.5).sub_(1)
    return x.expand(-1, wanted, -1, -1) if x.shape[1] == 1 else x
