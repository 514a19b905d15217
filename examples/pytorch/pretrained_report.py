#!/usr/bin/env python3
"""Makes the tables and figures of reports/pretrained from its layers.csv; with --weights, first that CSV from pretrained.py's files.

The folder's README.md has its text by hand, and its tables between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

import argparse
import csv
import itertools
import operator
import tempfile
from pathlib import Path

from depth_figure import KINDS, figure, kind
from pages import filled, table
from zoo import NETS

from inmerge_ckpt import InmergeError, analyze

REPORT = Path(__file__).resolve().parents[2] / "reports/pretrained"
TAU, SKIP = 0.3, 10
COLUMNS = ["net", "layer", "depth", "kind", "shape", "kernels", "takes_part", "dimension", "effective_dimension", "above_tau",
           "above_tau_by_chance", "chance_tau", "above_chance_tau", "q1", "median", "q3", "p95", "max", "near_zero"]


def measure(name, weights):
    """The rows of a network: its layers in depth order, as `analyze` sees them."""
    with tempfile.TemporaryDirectory() as folder:
        report = analyze(weights / f"{name}.safetensors", Path(folder) / "report", no_spectrum=True, png="none",
                         kinds="conv,pointwise,depthwise,linear", skip_shallow=SKIP)
    at = report["thresholds"].index(TAU)
    return [row(name, layer, at) for layer in report["layers"]]


def row(net, layer, at):
    """A layer's row. What concerns a kernel's most similar other kernel is called by its quantile."""
    kernels, chance, spread, health = layer["kernels"], layer["by_chance"], layer["nearest_spread"], layer["health"]
    return {
        "net": net, "layer": layer["name"], "depth": "" if layer["kind"] == "linear" else layer["depth"], "kind": layer["kind"],
        "shape": "x".join(map(str, layer["shape"])), "kernels": kernels, "takes_part": layer["reason"] or "yes",
        "dimension": chance["dimension"], "effective_dimension": chance["effective_dimension"],
        "above_tau": f"{layer['kernels_above'][at] / kernels:.6f}",
        "above_tau_by_chance": f"{chance['kernels_above'][at] / kernels:.6f}",
        "chance_tau": chance["tau"], "above_chance_tau": f"{chance['kernels'] / kernels:.6f}",
        **{key: f"{spread[key]:.4f}" for key in ("q1", "median", "q3", "p95", "max")},
        "near_zero": len(health["zero"]) + len(health["near_dead"]),
    }


def tables(rows):
    """Every table of the page, by name."""
    made = {"sources": sources(), "one-threshold": one_threshold(rows)}
    for name in NETS:
        made[name] = by_kind([row for row in rows if row["net"] == name])
    return made


def sources():
    body = [[f"`{name}`", net.what, "<br>".join(f"`{package}`" for package in net.packages), f"`{Path(net.file).name}`", net.licence]
            for name, net in NETS.items()]
    return table(["name", "network", "package", "file", "licence as stated"], body)


def one_threshold(rows):
    """In how many layers of each network one τ gives hardly a kernel a partner, or most of them; beside the thresholds of 5 %, below which are
    95 % of the kernels' greatest similarities."""
    body = []
    for name in NETS:
        own = [row for row in rows if row["net"] == name and row["takes_part"] == "yes" and row["kind"] in ("conv", "pointwise")]
        above, chance, p95, chance_tau = ([float(row[key]) for row in own] for key in ("above_tau", "above_tau_by_chance", "p95", "chance_tau"))
        body.append([f"`{name}`", len(own), sum(value < 0.01 for value in above), sum(value > 0.5 for value in above),
                     sum(value > 0.5 for value in chance), f"{min(p95):.2f} to {max(p95):.2f}", sum(map(operator.lt, p95, chance_tau))])
    return table(["network", "layers", f"{TAU}: below 1 %", f"{TAU}: more than half", f"{TAU}: more than half by chance", "5%: thresholds",
                  "5%: below chance=1%"], body)


def by_kind(rows):
    """A network's kinds of layers, those that take part and those before the cut."""
    body = []
    for part, label in ("yes", f"after {SKIP}"), ("shallow", f"first {SKIP}"):
        for name in KINDS:
            own = [row for row in rows if (kind(row), row["takes_part"]) == (name, part)]
            if own:
                above, chance = share(own, "above_tau"), share(own, "above_tau_by_chance")
                body.append([name, label if name != "linear" else "", len(own), sum(int(row["kernels"]) for row in own),
                             percent(above), percent(chance), percent(above - chance, "+"), percent(share(own, "above_chance_tau")),
                             thirds(own, lambda third: f"{whole(share(third, 'above_tau'))} ({whole(share(third, 'above_tau_by_chance'))})"),
                             thirds(own, lambda third: f"{share(third, 'median'):.2f}")])
    return table(["kind", "place", "layers", "kernels", f"above {TAU}", "by chance", "excess", "above chance=1%",
                  f"% above {TAU} (by chance) by depth", "median by depth"], body)


def share(rows, column):
    """The mean of a column over all kernels."""
    return sum(float(row[column]) * int(row["kernels"]) for row in rows) / sum(int(row["kernels"]) for row in rows)


def thirds(rows, value):
    """What the first, the middle and the last third of the layers have; nothing of fewer than three."""
    if len(rows) < 3:
        return ""
    cuts = [round(len(rows) * third / 3) for third in range(4)]
    return ", ".join(value(rows[start:end]) for start, end in itertools.pairwise(cuts))


def whole(value):
    return round(100 * value)


def percent(value, sign=""):
    return f"{whole(value):{sign}d} %"


def figures(rows):
    """Every figure, by file name."""
    return {f"{name}.svg": figure(name, [row for row in rows if row["net"] == name], SKIP) for name in NETS}


def read(folder):
    with open(folder / "layers.csv", newline="") as file:
        return list(csv.DictReader(file))


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, default=REPORT, help="the folder [default: reports/pretrained of this project]")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="measure these: the folder in which pretrained.py wrote all of its list")
    args = parser.parse_args(words)
    try:
        if args.weights:
            rows = [row for name in NETS for row in measure(name, args.weights)]
            with open(args.report / "layers.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        rows = read(args.report)
        page = args.report / "README.md"
        page.write_text(filled(page.read_text(), tables(rows)))
        for name, text in figures(rows).items():
            (args.report / name).write_text(text)
    except (OSError, InmergeError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
