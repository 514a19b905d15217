#!/usr/bin/env python3
"""The study of merging against its controls (reports/study/PLAN.md): fine-tunes in every arm with every seed, a CSV for each setting.

A run is one setting, arm and seed; of a setting and a seed all arms share data, batches and the new last layer. Started again
with the same --out, it does the runs that are not in the CSVs there. A run cut short starts anew.
"""

import argparse
import csv
import fcntl
import multiprocessing
import os
import statistics
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from arms import ARMS, COMPARED
from finetune import finetune
from settings import LARGER, SETTINGS

from inmerge_ckpt import InmergeError, InmergeWarning

EVERY = SETTINGS | LARGER
# What tells one run from another; those of a setting may have been made with other sizes and rates.
KEY = ["arm", "seed", "size", "lr", "epochs", "batch"]
OVERRIDES = ["size", "lr", "epochs", "batch"]


def main(words=None):
    args = arguments(words)
    if args.collect:
        return collect(args.collect, args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    todo = [run for run in runs(args) if run not in done(args.out, run[0])]
    if args.plan:
        return tell(todo, args)
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, [args.threads]) as pool:
        try:
            for number, said in enumerate(pool.map(one, todo, [args] * len(todo)), 1):
                print(f"{number} of {len(todo)}  {said}", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(), metavar="DIR", help="folder of the MedMNIST .npz files [default: this one]")
    parser.add_argument("--weights", type=Path, default=Path("weights"), metavar="DIR", help="folder that pretrained.py wrote [weights]")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for SETTING.csv")
    parser.add_argument("--settings", nargs="+", choices=EVERY, default=list(SETTINGS), metavar="SETTING",
                        help=f"of the plan's {', '.join(SETTINGS)} [all of these], or {', '.join(LARGER)}")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=f"of {', '.join(ARMS)} [all]".replace("%", "%%"))
    parser.add_argument("--seeds", type=span, default="0-19", metavar="A-B", help="the first and the last seed, or one [0-19]")
    parser.add_argument("--shard", type=shard, default="1/1", metavar="I/N", help="do the I-th of N parts: whole seeds")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once [1]")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads a run [1]")
    parser.add_argument("--device", default="cpu", help="of PyTorch, such as cuda [cpu]")
    parser.add_argument("--plan", action="store_true", help="say what would run, and how long it would take by the runs that there are")
    parser.add_argument("--collect", type=Path, nargs="+", metavar="DIR", help="only add the runs in the CSVs of these folders to those of --out")
    other = parser.add_argument_group("other values than the setting's")
    for name in OVERRIDES:
        other.add_argument(f"--{name}", type=float if name == "lr" else int)
    return parser.parse_args(words)


def span(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def shard(text):
    part, parts = map(int, text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError
    return part, parts


def runs(args):
    """Every run of this shard as (setting's name, key): the arms that are compared first, then the others; setting by setting and
    seed by seed, so that what is done is whole."""
    part, parts = args.shard
    return [(name, key(arm, seed, chosen(name, args)))
            for now in (True, False) for name in args.settings for seed in args.seeds if seed % parts == part - 1
            for arm in args.arms if (arm in COMPARED) == now]


def chosen(name, args):
    given = {field: getattr(args, field) for field in OVERRIDES if getattr(args, field) is not None}
    return replace(EVERY[name], **given)


def key(arm, seed, setting):
    """The values of KEY, as the CSV has them."""
    return tuple(map(str, (arm, seed, *(getattr(setting, field) for field in OVERRIDES))))


def one(run, args):
    """Does a run and adds its row; a line about it."""
    # Two of a plan's arms may merge nothing in a net; the CSV says it.
    warnings.simplefilter("ignore", InmergeWarning)
    name, identity = run
    arm, seed = identity[0], int(identity[1])
    try:
        row = finetune(chosen(name, args), arm, seed, args.data, args.weights, args.device)
    except InmergeError as error:
        raise SystemExit(str(error)) from None
    add(args.out / f"{name}.csv", [dict(zip(KEY, identity, strict=True)) | row])
    return f"{name}  seed {seed}  {arm}  test AUROC {row['test_auroc']:.4f}  {row['kernels']} kernels  {row['seconds']:.0f} s"


def read(path):
    """The rows of a CSV, none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def identity(row):
    return tuple(row[field] for field in KEY)


def done(out, name):
    return {(name, identity(row)) for row in read(out / f"{name}.csv")}


def add(path, new):
    """Adds rows to a CSV, in order, whole or not at all, and one process at a time. A run that is there already stays as it is."""
    with open(path.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = read(path)
        there = {identity(row) for row in rows}
        rows += [row for row in new if identity(row) not in there]
        rows.sort(key=lambda row: (int(row["seed"]), list(ARMS).index(row["arm"]), identity(row)))
        partial = path.with_name(f"{path.name}.tmp")
        with open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)


def collect(folders, out):
    out.mkdir(parents=True, exist_ok=True)
    for name in EVERY:
        rows = [row for folder in folders for row in read(folder / f"{name}.csv")]
        if rows:
            add(out / f"{name}.csv", rows)


def tell(todo, args):
    """Prints what is to do, with the time that it takes by the median of the runs there are of the setting."""
    for name in args.settings:
        own = [run for run in todo if run[0] == name]
        seconds = [float(row["seconds"]) for row in read(args.out / f"{name}.csv")]
        each = statistics.median(seconds) if seconds else None
        hours = "no run yet to tell the time by" if each is None else f"{len(own) * each / args.jobs / 3600:.1f} h at {each:.0f} s a run"
        print(f"{name}: {len(own)} runs to do, {len(seconds)} done; {hours}")


if __name__ == "__main__":
    main()
