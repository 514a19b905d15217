"""Merge similar convolution kernels of a checkpoint between fine-tuning epochs (InMerge, arXiv 2502.20516).

The functions run the program that this package brings, one call each, with the same names and defaults as its commands:

    from inmerge_ckpt import merge
    report = merge("last.ckpt", "next.ckpt", tau="5%", seed=epoch)
    print(report.totals.merged, "of", report.totals.kernels, "kernels merged")

For models in training: `inmerge_ckpt.torch`; for trainers: `inmerge_ckpt.lightning`, `inmerge_ckpt.ignite` (MONAI's),
`inmerge_ckpt.transformers`.
"""

from ._commands import analyze, apply, diff, inspect, merge, wait
from ._log import log_report
from ._program import InmergeError, InmergeWarning, NothingMerged, UsageError, program
from ._reports import Diff, Difference, Inspection, Layer, MergedLayer, MergeReport, Parameters, Totals

__all__ = [
    "Diff", "Difference", "InmergeError", "InmergeWarning", "Inspection", "Layer", "MergeReport", "MergedLayer", "NothingMerged",
    "Parameters", "Totals", "UsageError", "analyze", "apply", "diff", "inspect", "log_report", "merge", "program", "wait",
]
