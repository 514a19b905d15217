"""Intervals of paired differences."""

import functools
import math
import statistics

# As reports/study/PLAN.md fixes it.
CONFIDENCE = 0.95


@functools.cache
def student(probability, freedom):
    """The quantile of Student's t distribution, for probabilities above one half."""
    def below(t):
        # Simpson's rule over the density: to 1e-9 for the t of 0.975 from one degree of freedom up.
        steps = 4000
        factor = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
        heights = [factor * (1 + (t * step / steps) ** 2 / freedom) ** (-(freedom + 1) / 2) for step in range(steps + 1)]
        return 0.5 + t / steps / 3 * (heights[0] + 4 * sum(heights[1::2]) + 2 * sum(heights[2:-1:2]) + heights[-1])

    low, high = 0.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return low


def interval(differences):
    """Mean, standard deviation and half the width of the paired t interval."""
    mean, deviation, n = statistics.mean(differences), statistics.stdev(differences), len(differences)
    return mean, deviation, student((1 + CONFIDENCE) / 2, n - 1) * deviation / math.sqrt(n)


def told(differences):
    """`mean [low, high]`; of one pair the difference alone."""
    if len(differences) < 2:
        return "".join(f"{difference:+.4f}" for difference in differences)
    mean, _, half = interval(differences)
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"


def excludes_zero(differences):
    mean, _, half = interval(differences)
    return abs(mean) > half
