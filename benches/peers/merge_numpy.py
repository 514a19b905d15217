#!/usr/bin/env python3
"""Merge each kernel with its nearest partner, in numpy: what `inmerge-ckpt merge --partner nearest --prob 1` does."""
import argparse

import numpy as np
from safetensors.numpy import load_file, save_file


def merge(weight, tau, alpha):
    kernels = weight.reshape(len(weight), -1)
    norms = np.sqrt(np.einsum("ij,ij->i", kernels, kernels))
    unit = kernels / np.maximum(norms, 1e-8)[:, None]
    similarity = unit @ unit.T  # numpy sees the transpose and calls ssyrk: half the work
    np.fill_diagonal(similarity, -2)
    partner = similarity.argmax(axis=1)  # the first of equals
    turn = np.flatnonzero(similarity[np.arange(len(kernels)), partner] > tau)

    merged = kernels.copy()
    merged[turn] = np.float32(alpha) * kernels[turn] + np.float32(1 - alpha) * kernels[partner[turn]]
    return merged.reshape(weight.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--tau", type=float, default=0.3)
    parser.add_argument("--alpha", type=float, default=0.8)
    parser.add_argument("--skip-shallow", type=int, default=10, metavar="N")
    parser.add_argument("--order", metavar="FILE", help="names of the convolutions in execution order, one a line")
    args = parser.parse_args()

    tensors = load_file(args.input)
    if args.order:
        with open(args.order) as file:
            names = file.read().split()
    else:
        names = [name for name, tensor in tensors.items() if tensor.ndim == 4]
    for name in names[args.skip_shallow :]:
        tensors[name] = merge(tensors[name], args.tau, args.alpha)
    save_file(tensors, args.output)


if __name__ == "__main__":
    main()
