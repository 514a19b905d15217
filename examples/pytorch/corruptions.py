"""What may happen to images on the way to a network, at two severities: noise, blur, contrast, brightness.

All take and give grey values of 0 to 255, `[N, C, H, W]`, before anything is resized or normalised.
"""

import torch
from torch.nn import functional as F


def noise(images, deviation):
    """Gaussian, of the same draws whatever the network; grey images get grey noise."""
    generator = torch.Generator().manual_seed(0)
    return images + deviation * torch.randn(images.shape, generator=generator)


def blur(images, sigma):
    """Gaussian, with the border repeated; `sigma` in pixels of images that are 28 wide."""
    sigma = sigma * images.shape[3] / 28
    reach = int(3 * sigma + 0.5)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype)
    window = torch.exp(-places.square() / (2 * sigma**2))
    window = window / window.sum()
    channels = images.shape[1]
    padded = F.pad(images, [reach] * 4, mode="replicate")
    rows = F.conv2d(padded, window.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, window.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def contrast(images, factor):
    """Towards each image's mean."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + factor * (images - mean)


def brightness(images, shift):
    return images + shift


# By name, with the two severities: grey values, 28ths of the width, a factor, grey values.
CORRUPTIONS = {"noise": (noise, 15, 30), "blur": (blur, 0.75, 1.5), "contrast": (contrast, 0.6, 0.3), "brightness": (brightness, 30, 60)}
# `noise1`, `noise2`, `blur1` …
NAMES = [f"{name}{severity}" for name in CORRUPTIONS for severity in (1, 2)]


def corrupted(images, name):
    """Images under one of NAMES, clipped to 0 to 255."""
    function, *severities = CORRUPTIONS[name[:-1]]
    return function(images.float(), severities[int(name[-1]) - 1]).clamp(0, 255)
