"""What the tests of the package share: the project's fixtures, and networks small enough to train in a moment."""

import contextlib
import hashlib
import importlib.util
import os
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

from inmerge_ckpt import InmergeWarning

FIXTURES = Path(os.environ.get("FIXTURES", Path(__file__).parents[2] / "fixtures"))
DEMO = FIXTURES / "checkpoints/demo.safetensors"
sys.path.insert(0, str(FIXTURES.parent / "tests/pytorch"))

# The network of trainers.py has five convolutions, whose kernels are alike in pairs.
MERGING = {"tau": 0.5, "prob": 1.0, "skip_shallow": 1}


def needs(*modules):
    """Skips a test, with a word, where a package is not installed."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return unittest.skipIf(missing, f"there is no {', '.join(missing)}")


class Case(unittest.TestCase):
    """A test with a folder of its own, in which warnings of the package are errors; but for those of kernels so small that chance makes them
    alike, as most of the tests' are."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        caught = warnings.catch_warnings()
        caught.__enter__()
        self.addCleanup(caught.__exit__, None, None, None)
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", InmergeWarning)
        warnings.filterwarnings("ignore", ".*even if their numbers were random", InmergeWarning)


def digest(state):
    """A hash of all tensors of a state dict, or of anything with tensors in it."""
    import torch

    sum = hashlib.sha256()

    def add(value):
        if isinstance(value, torch.Tensor):
            sum.update(repr((value.dtype, tuple(value.shape))).encode())
            sum.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, dict):
            for key in value:
                sum.update(repr(key).encode())
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                add(item)
        else:
            sum.update(repr(value).encode())

    add(state)
    return sum.hexdigest()


def blended(weight, plan_layer, alpha=0.8):
    """What a plan makes of a weight whose kernels are its first dimension, computed kernel by kernel with numpy."""
    import numpy
    import torch

    values = weight.detach().cpu().contiguous().numpy().copy()
    for round in sorted({merge["round"] for merge in plan_layer["merges"]}):
        before = values.copy()
        for merge in plan_layer["merges"]:
            if merge["round"] == round:
                kernel, partner = before[merge["kernel"]], before[merge["partner"]]
                values[merge["kernel"]] = numpy.float32(alpha) * kernel + numpy.float32(1 - alpha) * partner
    return torch.from_numpy(values)


@contextlib.contextmanager
def quiet():
    """Keeps what trainers print to themselves."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
