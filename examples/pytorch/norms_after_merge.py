#!/usr/bin/env python3
"""What a merge does to a network with BatchNorm that is evaluated right after it, and what helps: statistics kept, carried along, or estimated anew.

    python3 train.py --data pneumoniamnist.npz --out backbone --epochs 5 --threads 1
    python3 norms_after_merge.py --data pneumoniamnist.npz --backbone backbone/model.safetensors --weights weights

Two networks, both trained on the same images: the ResNet-18 of train.py from scratch, and EfficientNet-lite0 fine-tuned here from
pretrained.py's weights. Writes a row for each network, merge and way to reports/batchnorm.csv, and makes the table in docs/batchnorm.md of
it; without arguments only the latter.
"""

import argparse
import copy
import csv
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from data import load, network_input
from finetune import train_epoch
from net import from_checkpoint as resnet18
from nets import from_checkpoint
from pages import filled, table
from score import logits, scores
from settings import SETTINGS
from torch.nn.modules.batchnorm import _BatchNorm

from inmerge_ckpt.torch import layers, merge_, recalibrate_

PROJECT = Path(__file__).resolve().parents[2]
CSV, PAGE = PROJECT / "reports/batchnorm.csv", PROJECT / "docs/batchnorm.md"

MERGES = {
    "none": None,
    "`--tau 5%`": {"tau": "5%"},
    "`--tau 20% --prob 1`": {"tau": "20%", "prob": 1.0},
    "`--tau 20% --rounds 20`": {"tau": "20%", "rounds": 20},
    "`--tau 50% --prob 1 --rounds 5`": {"tau": "50%", "prob": 1.0, "rounds": 5},
}
# How the statistics come about, and what else is carried along.
WAYS = {"kept": (), "`--carry norm`": ("norm",), "`--carry norm,affine`": ("norm", "affine"), "estimated anew": None}
METRICS = ["accuracy", "auroc", "loss"]


class Subject:
    """A trained network, how it takes images, and the splits."""

    def __init__(self, name, net, inputs, splits):
        self.name, self.net, self.inputs, self.splits = name, net, inputs, splits
        images = splits["train"][0]
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        self.batches = lambda: (inputs(images[part]) for part in order.split(64))
        self.order = layers(net, inputs(images[:1]))

    def rows(self):
        for merge, flags in MERGES.items():
            for way, carry in WAYS.items():
                net = copy.deepcopy(self.net)
                kernels = 0
                if flags is not None:
                    kernels = merge_(net, layers=self.order, **flags, **({"carry": list(carry)} if carry else {})).totals.merged
                elif carry:
                    continue
                if carry is None:
                    recalibrate_(net, self.batches)
                row = {"net": self.name, "merge": merge, "statistics": way, "kernels": kernels,
                       **{key: round(value, 4) for key, value in self.fit(net).items()}}
                for split in ("val", "test"):
                    images, labels = self.splits[split]
                    found = scores(logits(net, (self.inputs(part) for part in images.split(256))), labels)
                    row |= {f"{split}_{metric}": round(found[metric], 6) for metric in METRICS}
                yield row

    @torch.no_grad()
    def fit(self, net):
        """How well the statistics fit the training images, in channels whose kernels changed: the ratio of the standard deviation that a
        BatchNorm reads to the one it has, and the distance of the means in these; medians."""
        norms = {layer["norm"]: layer["name"] for layer in self.order if layer.get("norm")}
        old, new = self.net.state_dict(), net.state_dict()
        changed = {norm: (old[name] != new[name]).flatten(1).any(1) for norm, name in norms.items()}
        sums, hooks = {}, []
        for name, module in net.named_modules():
            if isinstance(module, _BatchNorm) and name in norms:
                def record(_, inputs, name=name):
                    z = inputs[0].double()
                    sums[name] = sums.get(name, 0) + torch.stack([z.sum((0, 2, 3)), z.square().sum((0, 2, 3)), z.new_full((z.shape[1],), z[:, 0].numel())])
                hooks.append(module.register_forward_pre_hook(record))
        net.eval()
        for batch in self.batches():
            net(batch)
        for hook in hooks:
            hook.remove()
        ratios, distances = [], []
        for name, (total, square, count) in sums.items():
            mean, module = total / count, net.get_submodule(name)
            deviation = (square / count - mean.square()).clamp(0).sqrt()
            held = (module.running_var.double() + module.eps).sqrt()
            ratios += (deviation / held)[changed[name]].tolist()
            distances += ((mean - module.running_mean).abs() / held)[changed[name]].tolist()
        return {"deviation": statistics.median(ratios), "mean": statistics.median(distances)} if ratios else {"deviation": float("nan"), "mean": float("nan")}


def subjects(args):
    splits = load(args.data, "train", "val", "test")
    net = resnet18(str(args.backbone))
    yield Subject("ResNet-18", net, lambda images: network_input(images, net.conv1.weight.shape[1]), splits)

    # The rate that the table in docs/batchnorm.md was measured with; the study has chosen another one since.
    setting = replace(SETTINGS["efficientnet-lite0-pneumonia"], data=args.data.stem, lr=0.001)
    splits, classes = setting.splits(args.data.parent, 0)
    torch.manual_seed(0)
    net = from_checkpoint("efficientnet-lite0", args.weights / "efficientnet-lite0.safetensors", classes, fresh=True)
    net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=setting.lr, weight_decay=0.01)
    for epoch in range(1, args.epochs + 1):
        torch.manual_seed(epoch)
        train_epoch(net, optimizer, *splits["train"], setting, "cpu", lambda: None)
    yield Subject("EfficientNet-lite0", net, setting.inputs, splits)


def tabulated(rows):
    """The table, as Markdown."""
    head = ["net", "merge", "kernels", "statistics", "ratio", "mean off by", "validation accuracy", "AUROC", "loss", "test accuracy", "AUROC", "loss"]
    body = [[row["net"], row["merge"], f"{int(row['kernels']):,}", row["statistics"], *(f"{float(row[key]):.2f}" for key in ("deviation", "mean")),
             *(f"{float(row[f'{split}_{metric}']):.3f}" for split in ("val", "test") for metric in METRICS)] for row in rows]
    return table(head, [[cell.replace("nan", "–") for cell in line] for line in body])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="MedMNIST .npz")
    parser.add_argument("--backbone", type=Path, help="ResNet-18 that train.py has trained on it")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder that pretrained.py wrote")
    parser.add_argument("--epochs", type=int, default=3, help="of fine-tuning EfficientNet-lite0 [3]")
    args = parser.parse_args()
    given = [args.data, args.backbone, args.weights]
    if any(given) and not all(given):
        parser.error("--data, --backbone and --weights go together")
    if args.data:
        torch.set_num_threads(1)
        rows = [row for subject in subjects(args) for row in subject.rows()]
        with open(CSV, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    with open(CSV, newline="") as file:
        PAGE.write_text(filled(PAGE.read_text(), {"norms": tabulated(list(csv.DictReader(file)))}))


if __name__ == "__main__":
    main()
