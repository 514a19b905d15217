#!/usr/bin/env python3
"""Trains a ResNet-18 on a MedMNIST file and merges similar kernels on the way (InMerge, arXiv 2502.20516).

Started again with the same command, it goes on after the last whole epoch.
"""

import argparse
import copy
import json
import os
import sys
import time
import warnings
from pathlib import Path

import torch
from torch.nn import functional as F

from data import channels, load, network_input, shuffled, training_batches
from inmerge_ckpt import InmergeError, InmergeWarning
from inmerge_ckpt.torch import layers, merge_, merge_step_, recalibrate_, save_checkpoint, selected_layers
from net import build, from_checkpoint
from score import score

# Flags of `inmerge-ckpt merge`; the rule after every step knows the first four.
MERGE_FLAGS = ["tau", "alpha", "prob", "skip_shallow", "rounds", "partner", "carry"]
# What may change when a run is taken up again.
FREE = ["epochs", "threads", "device", "out"]


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
    parser.add_argument("--recalibrate", action="store_true",
                        help="estimate BatchNorm's statistics anew, on the training images, after each merge between epochs")
    parser.add_argument("--ema", type=float, metavar="DECAY", help="keep an average of the weights, merged as they are")
    merging = parser.add_argument_group("merging, as in `inmerge-ckpt merge`, whose defaults hold")
    for flag in MERGE_FLAGS:
        merging.add_argument(f"--{flag.replace('_', '-')}", help=None if flag in MERGE_FLAGS[:4] else "between epochs only")

    args = parser.parse_args()
    args.merge_flags = {flag: getattr(args, flag) for flag in MERGE_FLAGS if getattr(args, flag) is not None}
    if args.merge == "none" and args.merge_flags:
        parser.error("--tau, --alpha, --prob, --skip-shallow, --rounds, --partner and --carry need --merge between or --merge every-step")
    if args.merge != "between" and (args.rounds or args.partner or args.carry or args.recalibrate or args.momentum == "merge"):
        parser.error("--rounds, --partner, --carry, --recalibrate and --momentum merge need --merge between")
    if args.merge == "every-step":
        try:
            args.rule = {flag: float(args.merge_flags[flag]) for flag in ("tau", "alpha", "prob") if flag in args.merge_flags}
            args.skip = {} if args.skip_shallow is None else {"skip_shallow": int(args.skip_shallow)}
        except ValueError as error:
            parser.error(f"with --merge every-step, --tau, --alpha, --prob and --skip-shallow are plain numbers: {error}")
    return args


def train_epoch(net, optimizer, images, labels, args, after_step):
    """One pass over the images in random order; the mean loss."""
    net.train()
    takes, total = net.conv1.weight.shape[1], 0.0
    batches = training_batches(len(images), args.batch_size)
    for number, batch in enumerate(batches, 1):
        x, y = network_input(images[batch], takes).to(args.device), labels[batch].to(args.device)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        after_step()
        total += loss.item() * len(batch)
        if sys.stderr.isatty():
            print(f"\r{number} of {len(batches)} batches  loss {loss.item():.4f} ", end="\r" if number == len(batches) else "", file=sys.stderr, flush=True)
    mean = total / sum(map(len, batches))
    if mean != mean:
        raise SystemExit("The loss is not a number any more: train with a smaller --lr.")
    return mean


class Tally:
    """Kernels changed and merges made in an epoch of merging after every step."""

    def __init__(self):
        self.changed, self.merges = set(), 0

    def add(self, masks):
        for layer, mask in masks.items():
            kernels = mask.nonzero().flatten().tolist()
            self.changed.update((layer, kernel) for kernel in kernels)
            self.merges += len(kernels)


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
    example = network_input(images[:1], takes).to(args.device)
    order = layers(net, example)
    selected = selected_layers(net, order, **args.skip) if args.merge == "every-step" else []
    average = {name: value.clone() for name, value in net.state_dict().items()} if args.ema else {}
    args.out.mkdir(parents=True, exist_ok=True)

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

    if len(log) >= args.epochs:
        print(f"{args.out} holds {len(log)} epochs of this run already: with more --epochs it goes on.")
    for epoch in range(len(log) + 1, args.epochs + 1):
        start, tally = time.time(), Tally()
        # Seeded anew each epoch: a run taken up again draws what an uninterrupted one does, and the batches come in the
        # same order however kernels are merged.
        torch.manual_seed(100_000 * args.seed + epoch)

        def after_step():
            if args.merge == "every-step":
                tally.add(merge_step_(net, selected, **args.rule))
            if args.ema:
                update_average(average, net, args.ema)

        row = {"epoch": epoch, "loss": train_epoch(net, optimizer, images, labels, args, after_step)}
        scores = {split: score(net, *splits[split]) for split in ("val", "test")}
        row |= {"before": scores, "kernels": len(tally.changed), "merges": tally.merges}
        if args.merge == "between":
            save_checkpoint(net, args.out / "trained.safetensors", example)
            plan = args.out / "plan.json"
            followed = optimizer if args.momentum == "merge" else None
            report = merge_(net, optimizer=followed, ema=average or None, layers=order, seed=args.seed + epoch, plan=plan, force=True,
                            **args.merge_flags)
            row["kernels"] = report.totals.merged
            row["merges"] = sum(len(layer["merges"]) for layer in json.loads(plan.read_text())["layers"])
            if row["merges"] and args.recalibrate:
                recalibrate_(net, shuffled(images, takes, args.device))
            if row["merges"]:
                scores = {split: score(net, *splits[split]) for split in ("val", "test")}
        save_checkpoint(net, args.out / "model.safetensors", example)
        row["after"] = scores
        if args.ema:
            averaged = copy.deepcopy(net)
            averaged.load_state_dict(average)
            save_checkpoint(averaged, args.out / "ema.safetensors", example)
            row["ema"] = {split: score(averaged, *splits[split]) for split in ("val", "test")}
        row["seconds"] = round(time.time() - start, 2)

        log.append(row)
        state = {"settings": settings, "net": net.state_dict(), "optimizer": optimizer.state_dict(),
                 "average": average, "log": log}
        replace(state_file, lambda path: torch.save(state, path))
        replace(args.out / "log.jsonl", lambda path: path.write_text("".join(json.dumps(line) + "\n" for line in log)))
        print("  ".join(told(row, args.merge)), flush=True)


def told(row, merging):
    """What is said of an epoch; scores before and after a merge only where there was one."""
    yield f"epoch {row['epoch']}  loss {row['loss']:.4f}"
    for split in ("val", "test"):
        for metric in ("auroc", "accuracy"):
            before, after = (f"{row[when][split][metric]:.4f}" for when in ("before", "after"))
            yield f"{split} {metric} {before} -> {after}" if merging == "between" else f"{split} {metric} {after}"
    if merging != "none":
        yield f"{row['kernels']} kernels merged"
    yield f"{row['seconds']:.1f} s"


if __name__ == "__main__":
    # A warning is of the run, and not of a line of this file.
    warnings.showwarning = lambda message, category, *_: print(f"warning: {message}" if category is InmergeWarning else message, file=sys.stderr)
    try:
        main()
    except InmergeError as error:
        raise SystemExit(str(error)) from None
