#!/usr/bin/env python3
"""Makes the tables and the figure of reports/study from its CSVs: differences between arms of the same seed, with intervals.

The folder's README.md has its text by hand, and its tables between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

import argparse
import statistics
from collections import Counter
from pathlib import Path

from arms import ARMS, COMPARED, PRIMARY
from compare import EVERY, read
from corruptions import NAMES
from effects_figure import figure
from intervals import CONFIDENCE, excludes_zero, interval, told
from pages import filled, table
from settings import SETTINGS
from study_runs import CORRUPTED, GROUPS, SCORES, SEEDS, Runs, after

REPORT = Path(__file__).resolve().parents[2] / "reports/study"


def tables(made, choosing):
    """Every table of the page, by name. `made` and `choosing` have the Runs and the rows of each setting."""
    return {"progress": progress(made), "primary": primary(made), "standing-out": standing_out(made), "thresholds": thresholds(made),
            "settings": "\n".join(map(setting, made, made.values())).strip("\n") + "\n", "choosing": chosen(choosing)}


def progress(made):
    """How far each setting is, of the plan's and of others that there are."""
    body = []
    for name in SETTINGS | made:
        runs = made.get(name)
        seeds = [len(runs.whole(arms)) if runs else 0 for arms in (COMPARED, ARMS)]
        dates = sorted(row["finished"] for row in runs.rows.values()) if runs else []
        body.append([f"`{name}`", *(f"{count} of {SEEDS}" for count in seeds), f"{len(runs.rows) if runs else 0} of {SEEDS * len(ARMS)}",
                     f"{dates[0]} to {dates[-1]}" if dates else "not begun"])
    return table(["setting", "seeds with the compared arms", "seeds with all arms", "runs", "when (UTC)"], body)


def primary(made):
    body = []
    for name, runs in made.items():
        for arm, other in PRIMARY:
            found = runs.differences(arm, other, "test_auroc")
            deviation = f"{statistics.stdev(found):.4f}" if len(found) > 1 else ""
            body.append([f"`{name}`", minus(arm, other), len(found), told(found), deviation, f"{sum(d > 0 for d in found)} / {sum(d < 0 for d in found)}"])
    return table(["setting", "comparison", "n", "difference in test AUROC [95 %]", "sd of the pairs", "seeds up / down"], body)


def primary_figure(made):
    """The primary comparisons of the settings where they are whole; None where none is."""
    rows = []
    for name, runs in made.items():
        if len(runs.whole(COMPARED)) == SEEDS:
            found = (interval(runs.differences(arm, other, "test_auroc")) for arm, other in PRIMARY)
            rows.append((name, [(mean, half) for mean, _, half in found]))
    title = f"Merging between epochs: paired by seed, intervals of {100 * CONFIDENCE:.0f} %"
    return figure(title, ["merged − not merged", "similar − random partners"], rows) if rows else None


def standing_out(made):
    """How many differences exclude 0, of the arms that have all their seeds; and which these are."""
    counts, which, total = [], [], {group: Counter() for group in GROUPS}
    for name, runs in made.items():
        full = [arm for arm in ARMS if len(runs.whole([arm])) == SEEDS]
        for label, pairs in ("arms − none", [(arm, "none") for arm in full if arm != "none"]), (minus(*PRIMARY[1]), PRIMARY[1:]):
            pairs = [pair for pair in pairs if set(pair) <= set(full)]
            if not pairs:
                continue
            cells = []
            for group, columns in GROUPS.items():
                found = {(pair, score): runs.differences(*pair, column) for pair in pairs for column, score in columns.items()}
                out = {key: differences for key, differences in found.items() if excludes_zero(differences)}
                cells.append(counted(len(out), len(found)))
                total[group] += Counter(out=len(out), found=len(found))
                which += [[f"`{name}`", minus(*pair), score, told(differences)] for (pair, score), differences in out.items()]
            counts.append([f"`{name}`", label, *cells])
    counts.append(["all", "", *(counted(sums["out"], sums["found"]) for sums in total.values())])
    return table(["setting", "differences", *GROUPS], counts) + "\n" + table(["setting", "difference", "score", "[95 %]"], which)


def minus(arm, other):
    return f"{arm} − {other}"


def counted(out, found):
    return f"{out} of {found} ({(1 - CONFIDENCE) * found:.1f})"


def thresholds(made):
    """What merging at each τ does, in the settings in which more than one has runs."""
    merging = {arm: what.tau for arm, what in ARMS.items() if what.tau is not None and what.control is None and what.carry is None}
    body = []
    for name, runs in made.items():
        compared = [arm for arm in merging if runs.seeds(arm)]
        if len(compared) > 1:
            for arm in compared:
                kernels, _ = movement(runs, arm)
                columns = "test_auroc", "before_test_auroc"
                both = [runs.differences(arm, "none", column) for column in columns]
                body.append([f"`{name}`", f"`{merging[arm]}`", len(both[0]), kernels, *map(told, both), told(runs.last_merge(arm, "test_auroc"))])
    return table(["setting", "τ", "n", "kernels that the last merge changes", "after the last merge, − `none`", "before it, − `none`",
                  "the last merge by itself"], body)


def setting(name, runs):
    """All that there is of a setting."""
    arms = [arm for arm in ARMS if runs.seeds(arm)]
    pairs = [(arm, "none") for arm in arms if arm != "none"] + [pair for pair in PRIMARY[1:] if set(pair) <= set(arms)]
    text = f"### {name}\n\n"
    text += "Mean ± standard deviation over the seeds, after the last merge.\n\n" + table(
        ["arm", "n", *SCORES.values(), "AUROC, corrupted", "training loss", "kernels merged", "moved"],
        [[arm, len(runs.seeds(arm)), *(spread(runs.values(arm, column)) for column in [*SCORES, "corrupted_auroc", "train_loss"]),
          *movement(runs, arm)] for arm in arms])
    text += "\nDifferences of the same seed.\n\n" + table(
        ["difference", "n", *SCORES.values()],
        [[minus(*pair), len(runs.differences(*pair, "test_auroc")), *(told(runs.differences(*pair, column)) for column in SCORES)]
         for pair in pairs])
    text += "\nThe same, mean over the corruptions.\n\n" + table(
        ["difference", "AUROC", "accuracy", "ECE"],
        [[minus(*pair), *(told(runs.differences(*pair, column)) for column in CORRUPTED)] for pair in pairs])
    text += "\nThe same for the AUROC under each corruption; 2 is the stronger.\n\n" + table(
        ["corruption", *(minus(*pair) for pair in PRIMARY)],
        [[name, *(told(runs.differences(*pair, f"{name}_auroc")) for pair in PRIMARY)] for name in NAMES])
    anew = [after(row, "test_loss") for (arm, _), row in runs.rows.items() if arm == "none"]
    beside = ", − the same of `none`, in which the statistics are estimated anew too" if any(anew) else ""
    text += f"\nThe last merge by itself: the score after it − that before it{beside}.\n\n" + table(
        ["arm", *SCORES.values()],
        [[arm, *(told(runs.last_merge(arm, column)) for column in SCORES)] for arm in arms if ARMS[arm].tau is not None])
    return text


def movement(runs, arm):
    """How many kernels the last merge changed, and by how much."""
    kernels = statistics.mean(runs.values(arm, "kernels"))
    moved = [float(runs.rows[arm, seed]["moved"]) for seed in runs.seeds(arm) if runs.rows[arm, seed]["moved"]]
    return f"{kernels:.0f}", f"{100 * statistics.mean(moved):.1f} %" if moved and kernels else ""


def spread(values):
    return f"{statistics.mean(values):.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


def chosen(choosing):
    """The runs by which learning rates and sizes were chosen."""
    body = []
    for name, rows in choosing.items():
        for size, lr in sorted({(int(row["size"]), float(row["lr"])) for row in rows}):
            own = [float(row["val_auroc"]) for row in rows if (int(row["size"]), float(row["lr"])) == (size, lr)]
            body.append([f"`{name}`", size, f"{lr:f}".rstrip("0"), len(own), f"{statistics.mean(own):.4f}"])
    return table(["setting", "size", "learning rate", "seeds", "validation AUROC"], body)


def collected(folder):
    """The rows of each setting that has a CSV in a folder."""
    return {name: rows for name in EVERY if (rows := read(folder / f"{name}.csv"))}


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, default=REPORT, help="the folder [default: reports/study of this project]")
    args = parser.parse_args(words)
    made = {name: Runs(name, rows) for name, rows in collected(args.report).items()}
    page = args.report / "README.md"
    page.write_text(filled(page.read_text(), tables(made, collected(args.report / "choosing"))))
    if drawn := primary_figure(made):
        (args.report / "primary.svg").write_text(drawn)


if __name__ == "__main__":
    main()
