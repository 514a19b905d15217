"""Merge similar convolution kernels of a checkpoint between fine-tuning epochs (InMerge, arXiv 2502.20516).

The functions run the program that this package brings, one call each, with the same names and defaults as its commands:

    from inmerge_ckpt import merge
    report = merge("last.ckpt", "next.ckpt", tau="5%", seed=epoch)
    print(report.totals.merged, "of", report.totals.kernels, "kernels merged")
"""

from ._commands import analyze, apply, diff, inspect, merge, wait
from ._program import InmergeError, NothingMerged, UsageError, program
from ._reports import Diff, Difference, Inspection, Layer, MergedLayer, MergeReport, Parameters, Totals

__all__ = [
    "Diff", "Difference", "InmergeError", "Inspection", "Layer", "MergeReport", "MergedLayer", "NothingMerged", "Parameters", "Totals",
    "UsageError", "analyze", "apply", "diff", "inspect", "merge", "program", "wait",
]
