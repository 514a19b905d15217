"""The runs of a setting of the study, and the scores that are compared."""

import statistics

from compare import OVERRIDES
from corruptions import NAMES

# As reports/study/PLAN.md fixes them.
SEEDS = 20
SCORES = {"test_auroc": "AUROC", "test_accuracy": "accuracy", "test_ece": "ECE", "test_loss": "loss"}
CORRUPTED = {"corrupted_auroc": "AUROC, corrupted", "corrupted_accuracy": "accuracy, corrupted", "corrupted_ece": "ECE, corrupted"}
# All scores that are compared.
GROUPS = {
    "test": SCORES,
    "validation": {column.replace("test", "val"): f"validation {score}" for column, score in SCORES.items()},
    "mean over the corruptions": CORRUPTED,
    "each corruption": {column.replace("corrupted", name): score.replace("corrupted", name) for name in NAMES for column, score in CORRUPTED.items()},
}


class Runs:
    """The runs of a setting, all made with the same sizes and rates."""

    def __init__(self, name, rows):
        made = {tuple(row[field] for field in OVERRIDES) for row in rows}
        if len(made) > 1:
            raise SystemExit(f"{name}.csv has runs with several of {', '.join(OVERRIDES)}: {sorted(made)}")
        self.rows = {(row["arm"], int(row["seed"])): row for row in rows}

    def seeds(self, arm):
        return sorted(seed for own, seed in self.rows if own == arm)

    def values(self, arm, column):
        return [value(self.rows[arm, seed], column) for seed in self.seeds(arm)]

    def differences(self, arm, other, column):
        """Of each seed that both arms have."""
        return [value(own, column) - value(its, column) for own, its in self.pairs(arm, other)]

    def pairs(self, arm, other):
        """The rows of each seed that both arms have."""
        return [(self.rows[arm, seed], self.rows[other, seed]) for seed in self.seeds(arm) if (other, seed) in self.rows]

    def whole(self, arms):
        """The plan's seeds that have a run of each of these arms."""
        return [seed for seed in range(SEEDS) if all((arm, seed) in self.rows for arm in arms)]

    def last_merge(self, arm, column):
        """What the last merge by itself does to a score. Where statistics are estimated anew after it, `none` has that too, and it is taken off."""
        return [after(own, column) - after(its, column) for own, its in self.pairs(arm, "none")]


def value(row, column):
    """A number of a run. `corrupted_auroc` and so on are the means over all corruptions."""
    prefix, _, metric = column.rpartition("_")
    if prefix == "corrupted":
        return statistics.mean(float(row[f"{name}_{metric}"]) for name in NAMES)
    return float(row[column])


def after(row, column):
    """How far a score after the last merge is from that before it."""
    return value(row, column) - value(row, f"before_{column}")
