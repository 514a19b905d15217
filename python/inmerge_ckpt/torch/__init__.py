"""Merging for networks in PyTorch: saved for the program, merged where they are in training, or after every step as the authors do.

    from inmerge_ckpt.torch import layers, merge_

    order = layers(model, images)               # once: in which order the convolutions run
    for epoch in range(epochs):
        train_one_epoch(model, loader, optimizer)
        merge_(model, tau="5%", seed=epoch, layers=order)

`torch` and `safetensors` must be installed.
"""

from ._batchnorm import recalibrate_
from ._live import merge_
from ._save import save_checkpoint
from ._step import merge_step_, selected_layers
from .describe import Recorder, layers, metadata

__all__ = ["Recorder", "layers", "merge_", "merge_step_", "metadata", "recalibrate_", "save_checkpoint", "selected_layers"]
