"""InMerge for a network in training: between epochs with the program, or after every step as the paper's authors do."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


class BetweenEpochs:
    """Merges with `inmerge-ckpt`, through files in a folder: `trained`, `model` (merged), `plan.json`."""

    def __init__(self, binary, folder, layers, flags):
        """`layers`: the convolutions' weights in the order in which they run. `flags`: those of `inmerge-ckpt merge`."""
        self.binary = shutil.which(binary)
        if self.binary is None:
            raise SystemExit(f"{binary} is not there to run: install it with `make install`, or say where it is with --binary.")
        self.folder, self.layers, self.flags = Path(folder), layers, flags
        self.plan = self.folder / "plan.json"

    def merge(self, net, seed):
        """Merges a network's kernels in place; how many kernels changed, and in how many merges."""
        trained, merged = self.folder / "trained.safetensors", self.folder / "model.safetensors"
        save(net.state_dict(), trained, self.layers)
        self._run("merge", trained, merged, "--plan", self.plan, "--force", f"--seed={seed}", *self.flags)
        # Copies into the parameters that the optimizer knows, so that its state stays with them.
        net.load_state_dict(load_file(merged))
        layers = json.loads(self.plan.read_text())["layers"]
        self.merges = sum(len(layer["merges"]) for layer in layers)
        return sum(len({merge["kernel"] for merge in layer["merges"]}) for layer in layers), self.merges

    def follow(self, tensors, prefix):
        """Merges what goes with the weights (`{name of the weight: tensor}`) as the last plan merged them, in place."""
        if not self.merges:
            return
        path = self.folder / f"{prefix}safetensors"
        save({prefix + name: tensor for name, tensor in tensors.items()}, path)
        self._run("apply", self.plan, path, path, "--prefix", prefix, "--force")
        for name, value in load_file(path).items():
            tensors[name.removeprefix(prefix)].copy_(value)

    def _run(self, *words):
        command = [self.binary, *map(str, words), "--quiet"]
        code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
        if code:
            raise SystemExit(f"Merging failed (exit code {code}): {shlex.join(command)}")


@torch.no_grad()
def merge_after_step(weight, tau, alpha, prob):
    """The authors' rule on one layer, in place: each kernel, with probability `prob`, is blended with one random other
    kernel if their cosine similarity exceeds `tau`. Returns the kernels that changed."""
    kernels = weight.flatten(1)
    n = len(kernels)
    if n < 2:
        return torch.empty(0, dtype=torch.long)
    partner = torch.randint(n - 1, (n,), device=weight.device)
    partner += partner >= torch.arange(n, device=weight.device)  # any kernel but itself
    turn = (torch.rand(n, device=weight.device) < prob).nonzero().squeeze(1)
    own, other = kernels[turn], kernels[partner[turn]]  # copies: all blends read the weights as they were
    above = torch.cosine_similarity(own, other) > tau
    kernels[turn[above]] = alpha * own[above] + (1 - alpha) * other[above]
    return turn[above]


def save(tensors, path, layers=None):
    """Writes a safetensors file whole or not at all, with the layers' order for `inmerge-ckpt` in it."""
    partial = f"{path}.tmp"
    save_file(tensors, partial, metadata=layers and {"inmerge.layers": json.dumps(layers)})
    os.replace(partial, path)
