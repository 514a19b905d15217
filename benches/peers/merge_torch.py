#!/usr/bin/env python3
"""Merge each kernel with its nearest partner, in PyTorch: what `inmerge-ckpt merge --partner nearest --prob 1` does."""
import argparse

import torch
from safetensors.torch import load_file, save_file


def merge(weight, tau, alpha):
    kernels = weight.flatten(1)
    unit = torch.nn.functional.normalize(kernels, dim=1, eps=1e-8)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-2)
    best, partner = similarity.max(dim=1)  # the first of equals
    turn = (best > tau).nonzero().squeeze(1)

    merged = kernels.clone()
    merged[turn] = alpha * kernels[turn] + (1 - alpha) * kernels[partner[turn]]
    return merged.view_as(weight)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--tau", type=float, default=0.3)
    parser.add_argument("--alpha", type=float, default=0.8)
    parser.add_argument("--skip-shallow", type=int, default=10, metavar="N")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda")
    parser.add_argument("--order", metavar="FILE", help="names of the convolutions in execution order, one a line")
    args = parser.parse_args()

    tensors = load_file(args.input)
    if args.order:
        with open(args.order) as file:
            names = file.read().split()
    else:
        names = [name for name, tensor in tensors.items() if tensor.ndim == 4]
    for name in names[args.skip_shallow :]:
        tensors[name] = merge(tensors[name].to(args.device), args.tau, args.alpha).cpu()
    save_file(tensors, args.output)


if __name__ == "__main__":
    main()
