#!/usr/bin/env python3
"""Greatest similarities, curve over tau and spectrum of a checkpoint's convolutions, in numpy: the numbers of a report, without pictures."""
import argparse
import json

import numpy as np
from safetensors.numpy import load_file

TAUS = np.linspace(-1, 1, 201)


def layer(weight):
    kernels = weight.reshape(len(weight), -1)
    norms = np.linalg.norm(kernels, axis=1)
    unit = kernels / np.maximum(norms, 1e-8)[:, None]
    similarity = unit @ unit.T
    pairs = similarity[np.triu_indices(len(kernels), 1)]
    np.fill_diagonal(similarity, -2)
    greatest = np.sort(similarity.max(axis=1))
    gram = kernels @ kernels.T if len(kernels) <= kernels.shape[1] else kernels.T @ kernels
    return {
        "pairs_above": (len(pairs) - np.searchsorted(np.sort(pairs), TAUS, side="right")).tolist(),
        "kernels_above": (len(greatest) - np.searchsorted(greatest, TAUS, side="right")).tolist(),
        "eigenvalues": np.linalg.eigvalsh(gram.astype(np.float64)).tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input")
    parser.add_argument("output", help="JSON")
    args = parser.parse_args()
    report = {name: layer(tensor) for name, tensor in load_file(args.input).items() if tensor.ndim == 4}
    with open(args.output, "w") as file:
        json.dump(report, file)


if __name__ == "__main__":
    main()
