#!/usr/bin/env python3
"""Scores a ResNet-18 checkpoint on a MedMNIST split; the last line on stdout is {"auroc": …, "accuracy": …, "ece": …, "loss": …}."""

import argparse
import json

import torch
from data import channels, load, shuffled
from net import from_checkpoint
from score import score


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True, help="safetensors file; classes and channels follow from its shapes")
    parser.add_argument("--data", required=True, help="MedMNIST .npz")
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--recalibrate", action="store_true", help="estimate BatchNorm's statistics anew first, on the training images")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    splits = load(args.data, args.split, *["train"] * args.recalibrate)
    images, labels = splits[args.split]
    net = from_checkpoint(args.weights).to(args.device)
    if channels(images) > net.conv1.weight.shape[1]:
        raise SystemExit(f"{args.data} has colour images, and {args.weights} takes grey ones.")
    if args.recalibrate:
        from inmerge_ckpt.torch import recalibrate_

        recalibrate_(net, shuffled(splits["train"][0], net.conv1.weight.shape[1], args.device))
    print(json.dumps(score(net, images, labels)))


if __name__ == "__main__":
    main()
