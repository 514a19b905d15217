"""Area under the ROC curve, by ranks."""

import numpy as np


def binary_auroc(scores, positive):
    """The chance that a positive's score is above a negative's, ties counted half.

    `scores`: one number an image. `positive`: one truth value an image; both values must occur.
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # of equal scores: the mean of their ranks, from 1
    positives = int(positive.sum())
    negatives = len(positive) - positives
    surplus = rank[place][positive].sum() - positives * (positives + 1) / 2
    return float(surplus / (positives * negatives))


def auroc(probabilities, labels):
    """The AUROC of class 1 for two classes, and for more the mean over the classes, each against all others.

    `probabilities`: [images, classes]. `labels`: the class of each image. A class that no image or every image has
    is left out of the mean.
    """
    classes = range(probabilities.shape[1]) if probabilities.shape[1] > 2 else [1]
    occurring = [c for c in classes if 0 < (labels == c).sum() < len(labels)]
    if not occurring:
        raise SystemExit("AUROC needs images of two classes at least; this split has one.")
    return float(np.mean([binary_auroc(probabilities[:, c], labels == c) for c in occurring]))
