#!/usr/bin/env python3
"""Trains a ResNet-18 on a MedMNIST file and merges similar kernels on the way (InMerge, arXiv 2502.20516).

Started again with the same command, it goes on after the last whole epoch. What stands after `--` is handed to
`inmerge-ckpt merge` as it is.
"""

import argparse
import copy
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

import describe
from data import channels, load, network_input
from merging import BetweenEpochs, merge_after_step, save
from net import build, from_checkpoint
from score import score

# Flags of `inmerge-ckpt merge` that can stand before `--`, too; the rule after every step knows the first four.
MERGE_FLAGS = ["tau", "alpha", "prob", "skip-shallow", "rounds", "partner"]
# What may change when a run is taken up again.
FREE = ["epochs", "threads", "device", "out", "binary"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="MedMNIST .npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints and log.jsonl")
    parser.add_argument("--init", help="safetensors checkpoint to fine-tune; without it, training starts from scratch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--merge", choices=["none", "between", "every-step"], default="none",
                        help="between epochs with inmerge-ckpt, or after every optimizer step as the authors do")
    parser.add_argument("--momentum", choices=["keep", "merge"], default="keep",
                        help="what becomes of the momentum of kernels merged between epochs")
    parser.add_argument("--ema", type=float, metavar="DECAY", help="keep an average of the weights, merged as they are")
    parser.add_argument("--binary", default="inmerge-ckpt", help="the program, or its path")
    merging = parser.add_argument_group("merging, as in `inmerge-ckpt merge`, whose defaults hold")
    for flag in MERGE_FLAGS:
        merging.add_argument(f"--{flag}", help=None if flag in MERGE_FLAGS[:4] else "between epochs only")

    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:end])
    handed_on = words[end + 1:]
    given = {flag: getattr(args, flag.replace("-", "_")) for flag in MERGE_FLAGS}
    args.merge_flags = [f"--{flag}={value}" for flag, value in given.items() if value is not None] + handed_on
    if args.merge == "none" and args.merge_flags:
        parser.error(f"{args.merge_flags[0]} needs --merge between or --merge every-step")
    if args.merge != "between" and (handed_on or args.rounds or args.partner or args.momentum == "merge"):
        parser.error("--rounds, --partner, --momentum merge and what stands after -- need --merge between")
    if args.merge == "every-step":
        try:
            args.rule = [float(args.tau or 0.3), float(args.alpha or 0.8), float(args.prob or 0.3)]
            args.skip = int(args.skip_shallow or 10)
        except ValueError as error:
            parser.error(f"with --merge every-step, --tau, --alpha, --prob and --skip-shallow are plain numbers: {error}")
    return args


def train_epoch(net, optimizer, images, labels, args, after_step):
    """One pass over the images in random order; the mean loss."""
    net.train()
    takes, total = net.conv1.weight.shape[1], 0.0
    batches = torch.randperm(len(images)).split(args.batch_size)
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches = batches[:-1]  # batch normalisation cannot take a lone image
    for batch in batches:
        x, y = network_input(images[batch], takes).to(args.device), labels[batch].to(args.device)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        after_step()
        total += loss.item() * len(batch)
    mean = total / sum(map(len, batches))
    if mean != mean:
        raise SystemExit("The loss is not a number any more: train with a smaller --lr.")
    return mean


class Tally:
    """Kernels changed and merges made in an epoch of merging after every step."""

    def __init__(self):
        self.changed, self.merges = set(), 0

    def add(self, layer, kernels):
        self.changed.update((layer, kernel) for kernel in kernels.tolist())
        self.merges += len(kernels)


def momenta(net, optimizer):
    """The momentum buffers by the name of their weight."""
    states = {name: optimizer.state[parameter] for name, parameter in net.named_parameters()}
    return {name: state["momentum_buffer"] for name, state in states.items() if state.get("momentum_buffer") is not None}


def update_average(average, net, decay):
    """Moves the averaged weights and batch statistics towards the network's."""
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)  # counters


def replace(path, write):
    """Writes a file whole or not at all."""
    partial = path.with_name(f"{path.name}.tmp")
    write(partial)
    os.replace(partial, path)


def main():
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    splits = load(args.data, "train", "val", "test")
    images, labels = splits["train"]
    classes = int(max(part[1].max() for part in splits.values())) + 1

    torch.manual_seed(args.seed)
    net = from_checkpoint(args.init, classes=classes) if args.init else build(classes, channels(images))
    takes = net.conv1.weight.shape[1]
    if channels(images) > takes:
        raise SystemExit(f"{args.data} has colour images, and {args.init} takes grey ones.")
    net.to(args.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    layers = [layer["name"] for layer in describe.layers(net, network_input(images[:1], takes).to(args.device))]
    average = {name: value.clone() for name, value in net.state_dict().items()} if args.ema else {}
    args.out.mkdir(parents=True, exist_ok=True)
    between = args.merge == "between" and BetweenEpochs(args.binary, args.out, layers, args.merge_flags)

    # The one file that says how far the run has come; all others are made from it or before it.
    settings = {name: str(value) for name, value in vars(args).items() if name not in FREE}
    state_file, log = args.out / "state.pt", []
    if state_file.exists():
        state = torch.load(state_file, map_location=args.device)
        other = [name for name in settings if settings[name] != state["settings"].get(name)]
        if other:
            raise SystemExit(f"{args.out} holds a run with another {' and '.join(other)}: remove it or choose another --out.")
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        average, log = state["average"], state["log"]

    for epoch in range(len(log) + 1, args.epochs + 1):
        start, tally = time.time(), Tally()
        # Seeded anew each epoch: a run taken up again draws what an uninterrupted one does, and the batches come in the
        # same order however kernels are merged.
        torch.manual_seed(100_000 * args.seed + epoch)

        def after_step():
            if args.merge == "every-step":
                for layer in layers[args.skip:]:
                    tally.add(layer, merge_after_step(net.get_parameter(layer), *args.rule))
            if args.ema:
                update_average(average, net, args.ema)

        row = {"epoch": epoch, "loss": train_epoch(net, optimizer, images, labels, args, after_step)}
        scores = {split: score(net, *splits[split]) for split in ("val", "test")}
        row |= {"before": scores, "kernels": len(tally.changed), "merges": tally.merges}
        if between:
            row["kernels"], row["merges"] = between.merge(net, args.seed + epoch)
            if args.momentum == "merge":
                between.follow(momenta(net, optimizer), "momentum.")
            if args.ema:
                between.follow(average, "ema.")
            if row["merges"]:
                scores = {split: score(net, *splits[split]) for split in ("val", "test")}
        else:
            save(net.state_dict(), args.out / "model.safetensors", layers)
        row["after"] = scores
        if args.ema:
            save({f"ema.{name}": value for name, value in average.items()}, args.out / "ema.safetensors")
            averaged = copy.deepcopy(net)
            averaged.load_state_dict(average)
            row["ema"] = {split: score(averaged, *splits[split]) for split in ("val", "test")}
        row["seconds"] = round(time.time() - start, 2)

        log.append(row)
        state = {"settings": settings, "net": net.state_dict(), "optimizer": optimizer.state_dict(),
                 "average": average, "log": log}
        replace(state_file, lambda path: torch.save(state, path))
        replace(args.out / "log.jsonl", lambda path: path.write_text("".join(json.dumps(line) + "\n" for line in log)))
        said = "  ".join(
            f"{split} AUROC {row['before'][split]['auroc']:.4f} -> {row['after'][split]['auroc']:.4f}"
            f" accuracy {row['before'][split]['accuracy']:.4f} -> {row['after'][split]['accuracy']:.4f}"
            for split in ("val", "test"))
        print(f"epoch {epoch}  loss {row['loss']:.4f}  {said}  {row['kernels']} kernels merged  {row['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
