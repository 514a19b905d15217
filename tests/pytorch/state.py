"""Writes what a trainer's state.pt holds as safetensors: `net.` + name, and `momentum.` + name of each buffer.

`state.py STATE FILE`. The buffers have no names of their own: they are numbered as the network's parameters are.
"""

import sys

import torch
from safetensors.torch import save_file

state = torch.load(sys.argv[1])
parameters = [name for name in state["net"] if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
buffers = {number: entry["momentum_buffer"] for number, entry in state["optimizer"]["state"].items()}
assert sorted(buffers) == list(range(len(parameters)))
tensors = {f"net.{name}": value for name, value in state["net"].items()}
tensors |= {f"momentum.{name}": buffers[number] for number, name in enumerate(parameters)}
save_file(tensors, sys.argv[2])
