#!/usr/bin/env python3
"""Fine-tunes one backbone a seed in every way of merging and tabulates the scores of each epoch.

Of a seed all variants share the backbone, the order of the batches and the hyperparameters. Started again with the same
command, it goes on where it stopped. After each run it writes `results.csv`, a row an epoch, and `table.md`, mean ± standard
deviation over the seeds, of all the runs there are.
"""

import argparse
import csv
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tables import METRICS, tables

HERE = Path(__file__).resolve().parent
VARIANTS = {
    "none": ["--merge", "none"],
    "between": ["--merge", "between", "--tau", "0.3"],
    "between-20%": ["--merge", "between", "--tau", "20%"],
    "between-20%x20": ["--merge", "between", "--tau", "20%", "--rounds", "20"],
    "every-step": ["--merge", "every-step"],
    "every-step-0.05": ["--merge", "every-step", "--tau", "0.05"],
    "between-20%x20-momentum": ["--merge", "between", "--tau", "20%", "--rounds", "20", "--momentum", "merge"],
}


def train(name, seed, epochs, lr, args, words):
    """One run of train.py, in the folder NAME-SEED; what it says goes to a file beside."""
    folder = args.out / f"{name}-{seed}"
    command = [sys.executable, HERE / "train.py", "--data", args.data, "--out", folder, "--seed", seed, "--epochs", epochs,
               "--lr", lr, "--threads", args.threads, *words]
    with open(f"{folder}.txt", "a") as said:
        code = subprocess.run(list(map(str, command)), stdout=said, stderr=said, check=False).returncode
    if code:
        raise SystemExit(f"A run failed; {folder}.txt says why.")


def results(args):
    """A dictionary for each seed, variant and epoch there is."""
    rows = []
    for variant in ["backbone", *args.variants]:
        for seed in args.seeds:
            log = args.out / f"{variant}-{seed}" / "log.jsonl"
            for line in map(json.loads, log.read_text().splitlines() if log.exists() else []):
                row = {"variant": variant, "seed": seed, "epoch": line["epoch"], "loss": round(line["loss"], 6)}
                for when, prefix in (("after", ""), ("before", "before_")):
                    for column in METRICS:
                        split, metric = column.split("_")
                        row[prefix + column] = round(line[when][split][metric], 6)
                rows.append(row | {key: line[key] for key in ("kernels", "merges", "seconds")})
    return rows


def write(args):
    rows = results(args)
    if rows:
        args.report.mkdir(parents=True, exist_ok=True)
        with open(args.report / "results.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        (args.report / "table.md").write_text(tables(rows, args.variants))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="MedMNIST .npz")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the runs, 0.2 GB each")
    parser.add_argument("--report", type=Path, help="folder for results.csv and table.md [default: that of the runs]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--backbone-epochs", type=int, default=8)
    parser.add_argument("--backbone-lr", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=6, help="of fine-tuning")
    parser.add_argument("--lr", type=float, default=0.001, help="of fine-tuning")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads a run")
    args = parser.parse_args()
    args.report = args.report or args.out
    args.out.mkdir(parents=True, exist_ok=True)

    def backbone(seed):
        train("backbone", seed, args.backbone_epochs, args.backbone_lr, args, [])

    def tuned(seed, variant):
        init = args.out / f"backbone-{seed}" / "model.safetensors"
        train(variant, seed, args.epochs, args.lr, args, ["--init", init, *VARIANTS[variant]])

    # Seed by seed, so that a comparison stopped early has whole seeds.
    grid = [(seed, variant) for seed in args.seeds for variant in args.variants]
    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            for _ in pool.map(backbone, args.seeds):
                write(args)
            for _ in pool.map(tuned, *zip(*grid)):
                write(args)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    print(f"Wrote results.csv and table.md in {args.report}.")


if __name__ == "__main__":
    main()
