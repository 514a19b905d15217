#!/usr/bin/env python3
"""What WeightWatcher says of a checkpoint's convolutions: a table, without pictures."""
import argparse
import logging

import torch
import weightwatcher
from safetensors.torch import load_file


def module(weight):
    """A layer with this weight; WeightWatcher takes modules."""
    made = torch.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=False)
    made.weight.data = weight
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input")
    parser.add_argument("output", help="CSV")
    args = parser.parse_args()
    logging.getLogger("weightwatcher").setLevel(logging.ERROR)

    weights = [tensor for tensor in load_file(args.input).values() if tensor.ndim == 4]
    watcher = weightwatcher.WeightWatcher(model=torch.nn.Sequential(*map(module, weights)))
    watcher.analyze().to_csv(args.output)


if __name__ == "__main__":
    main()
