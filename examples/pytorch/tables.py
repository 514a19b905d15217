"""The scores of many runs as Markdown tables: mean ± standard deviation over the seeds."""

import statistics

from pages import table

METRICS = ["val_auroc", "val_accuracy", "test_auroc", "test_accuracy"]


def tables(rows, variants):
    """All tables of `results.csv`'s rows, of the variants that there are."""
    rows = sorted(rows, key=lambda row: (row["seed"], row["epoch"]))
    backbone = [row for row in rows if row["variant"] == "backbone"]
    tuned = [row for row in rows if row["variant"] != "backbone"]
    variants = [variant for variant in variants if any(row["variant"] == variant for row in tuned)]
    epochs = sorted({row["epoch"] for row in tuned})

    def cells(epoch, value):
        for variant in variants:
            yield value([row for row in tuned if (row["variant"], row["epoch"]) == (variant, epoch)])

    text = "## Backbone\n\n" + table(["epoch", *METRICS], [
        [epoch, *(spread([row[m] for row in backbone if row["epoch"] == epoch]) for m in METRICS)]
        for epoch in sorted({row["epoch"] for row in backbone})])
    for metric in METRICS:
        body = [[epoch, *cells(epoch, lambda found, metric=metric: spread([row[metric] for row in found]))] for epoch in epochs]
        text += f"\n## Fine-tuning: {metric}\n\n" + table(["epoch", *variants], body)
    counts = [[epoch, *cells(epoch, lambda found: f"{mean(found, 'kernels')} ({mean(found, 'merges')})")] for epoch in epochs]
    text += "\n## Kernels changed in the epoch (merges)\n\n" + table(["epoch", *variants], counts)

    # Seeds differ more than variants do: what a variant does shows in its difference from `none` of the same seed.
    body = []
    for variant in variants:
        for what, value in ("last epoch", lambda values: values[-1]), ("mean of the epochs", statistics.mean):
            if variant != "none":
                body.append([variant, what, *(spread(differences(tuned, variant, m, len(epochs), value), "+") for m in METRICS)])
    text += "\n## Fine-tuning: difference from `none` of the same seed\n\n" + table(["variant", "", *METRICS], body)
    body = []
    for variant in variants:
        found = [row for row in tuned if row["variant"] == variant]
        if any(row[m] != row[f"before_{m}"] for row in found for m in METRICS):
            body.append([variant, *(spread([row[m] - row[f"before_{m}"] for row in found], "+") for m in METRICS)])
    return text + "\n## A merge between epochs: the score after it minus that before it, over all epochs and seeds\n\n" + table(
        ["variant", *METRICS], body)


def differences(rows, variant, metric, epochs, value):
    """Of each seed whose runs are complete: a variant's value of its scores minus that of `none`."""
    def of(name, seed):
        scores = [row[metric] for row in rows if (row["variant"], row["seed"]) == (name, seed)]
        return value(scores) if len(scores) == epochs else None

    pairs = [(of(variant, seed), of("none", seed)) for seed in sorted({row["seed"] for row in rows})]
    return [own - none for own, none in pairs if None not in (own, none)]


def spread(values, sign=""):
    """Mean ± standard deviation."""
    if len(values) < 2:
        return "".join(f"{value:{sign}.4f}" for value in values)
    return f"{statistics.mean(values):{sign}.4f} ± {statistics.stdev(values):.4f}"


def mean(rows, key):
    """The mean of a count."""
    return round(statistics.mean(row[key] for row in rows)) if rows else ""
