"""auroc.py against the definition: over all pairs of a positive and a negative, ties counted half.

`check_auroc.py EXAMPLES`
"""

import sys

import numpy as np

sys.path.insert(0, sys.argv[1])
from auroc import auroc, binary_auroc


def over_pairs(scores, positive):
    pairs = [(p, n) for p, own in zip(scores, positive) if own for n, other in zip(scores, positive) if not other]
    return sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs)


rng = np.random.default_rng(0)
for case in range(300):
    count = int(rng.integers(2, 40))
    positive = rng.random(count) < rng.random()
    positive[:2] = [True, False]
    scores = rng.integers(0, 1 + case % 9, count) / 8  # few values, so many ties; only one where case % 9 is 0
    if case % 2:
        scores = rng.random(count)
    found, expected = binary_auroc(scores, positive), over_pairs(scores, positive)
    assert abs(found - expected) < 1e-12, (case, found, expected)
assert binary_auroc(np.array([0.1, 0.9]), np.array([False, True])) == 1
assert binary_auroc(np.array([0.9, 0.1]), np.array([False, True])) == 0

# Two classes: that of class 1. More: the mean over those that occur.
labels = rng.integers(0, 2, 30)
one = rng.random(30)
assert auroc(np.stack([1 - one, one], 1), labels) == binary_auroc(one, labels == 1)
labels = rng.integers(0, 3, 30)
many = rng.random((30, 4))
expected = np.mean([over_pairs(many[:, c], labels == c) for c in range(3)])
assert abs(auroc(many, labels) - expected) < 1e-12
try:
    auroc(many, np.zeros(30, int))
except SystemExit as error:
    assert "two classes" in str(error)
else:
    raise AssertionError("one class has no AUROC")
print("checked")
