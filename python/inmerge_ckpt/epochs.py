"""What the callbacks of the trainers have in common: when they merge, with which seed, and what they say of it.

For a trainer that has no callback here: call `begin` before the first batch, `known` after each, and `merge` between the epochs.
"""

from __future__ import annotations

import os
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ._commands import MergeFlags, merge
from ._program import InmergeError, InmergeWarning, UsageError, warn
from .torch import Recorder, merge_, recalibrate_
from .torch._live import Average, refuse_sharded
from .torch._save import tensors, write
from .torch.describe import Layer, is_compiled, unwrapped


class Options(MergeFlags, total=False):
    """The options of the callbacks; all that are not listed here are flags of `merge`.

    `every`: merge after every so many epochs (1). `last`: also after the last one, which no training follows (False). `momentum`: "keep",
    the default, leaves the optimizers' momentum, "merge" blends it along. `ema`: an average to which the same merges are done: a model, a
    state dict, or a function that returns one. `recalibrate`: batches from which BatchNorm's statistics are estimated anew after a merge.
    `report`: a folder for reports, `epoch-N` for each merge after an epoch that `report_every` (1) divides; the file of `plan` gets
    `-epoch-N` in its name. `layers`: the order in which the convolutions run; without it that of the first batch is noted. `seed`: that of
    the run; the merge after epoch N has `seed + N`.
    """

    every: int
    last: bool
    momentum: str
    ema: Average
    recalibrate: Iterable[Any] | Callable[[], Iterable[Any]]
    report_every: int
    layers: Sequence[Layer]


class BetweenEpochs:
    """Merges a model after every so many epochs."""

    def __init__(
        self,
        *,
        every: int = 1,
        last: bool = False,
        momentum: str = "keep",
        ema: Average | None = None,
        recalibrate: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
        report: str | os.PathLike[str] | None = None,
        report_every: int = 1,
        layers: Sequence[Layer] | None = None,
        **flags: Any,
    ):
        """Takes the options of the callbacks (`Options`)."""
        for name, count in (("every", every), ("report_every", report_every)):
            if not isinstance(count, int) or count < 1:
                raise UsageError(f"{name} is {count!r}; it counts epochs, and must be a whole number from 1")
        if momentum not in ("keep", "merge"):
            raise UsageError(f"momentum is {momentum!r}; it must be 'keep' or 'merge'")
        if isinstance(recalibrate, Iterator):
            raise UsageError("recalibrate is used after every merge, and what is given can be used once only; give a loader, or a function "
                             "that returns the batches")
        self.every, self.last, self.momentum, self.ema, self.recalibrate = every, last, momentum, ema, recalibrate
        self.report, self.report_every = report, report_every
        self.flags: MergeFlags = flags  # type: ignore[assignment]  # the program checks their names
        self.layers = layers
        # The last epoch after which it was decided whether to merge: no epoch is merged twice.
        self.reached = 0
        # The order that was noted, of which model, and what notes it.
        self._noted: list[Layer] | None = None
        self._model: weakref.ref[nn.Module] | None = None
        self._recorder: Recorder | None = None
        self._loaded = False

    def begin(self, model: nn.Module, epoch: int) -> None:
        """Begins a run, or goes on with one, of which so many epochs are done.

        From now on and until `known` the order in which the convolutions run is noted, where it is not known yet. Raises InmergeError
        where a flag is wrong, or the model cannot be merged in training.
        """
        net = unwrapped(model)
        same = self._model is not None and self._model() is net
        if not same and not self._loaded:
            self._noted = None
        if epoch == 0:
            self.reached = 0
        elif not same and not self._loaded:
            self.reached = epoch
            warn(f"the run goes on after epoch {epoch} without this callback's state: what that epoch trained is not merged. Save the state "
                 "with the model to have a resumed run merge as one that was not stopped")
        self._stop()
        self._model, self._loaded = weakref.ref(net), False
        self._check(net)
        # Hooks would become part of a compiled model, so there the program recognises or guesses the order.
        if self.layers is None and self._noted is None and not is_compiled(model):
            self._recorder = Recorder(net)

    def known(self) -> None:
        """Ends noting the order, after a batch."""
        if self._recorder is not None and self._recorder.ran:
            self._noted = self._recorder.layers()
            self._stop()

    def _stop(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    def merge(self, model: nn.Module, optimizers: Iterable[Optimizer], epoch: int) -> dict[str, float] | None:
        """Merges after so many epochs, if it is time; the counts for the trainer's log."""
        if epoch <= self.reached:
            return None
        counts = None if epoch % self.every else self._merge(model, optimizers, epoch)
        self.reached = epoch
        return counts

    def _merge(self, model: nn.Module, optimizers: Iterable[Optimizer], epoch: int) -> dict[str, float]:
        self.known()  # an evaluation may have run what a compiled step hides
        order = self.layers or self._noted
        if order is None and self._recorder is not None:
            warn("no convolution was seen to run, as where a step is compiled: their order is recognised or guessed")
        flags = self.flags.copy()
        flags["seed"] = (flags.get("seed") or 0) + epoch
        if plan := flags.get("plan"):
            flags["plan"], flags["force"] = Path(plan).with_stem(f"{Path(plan).stem}-epoch-{epoch}"), True
        if self.report is not None and epoch % self.report_every == 0:
            flags["report"], flags["force"] = Path(self.report) / f"epoch-{epoch}", True
        done = merge_(model, optimizer=list(optimizers) if self.momentum == "merge" else None, ema=self.ema, layers=order, **flags)
        if self.recalibrate is not None and done.totals.merged:
            recalibrate_(model, self.recalibrate)
        return {"inmerge/kernels_merged": float(done.totals.merged), "inmerge/kernels": float(done.totals.kernels)}

    def _check(self, net: nn.Module) -> None:
        """Has the program read the flags before an epoch is trained: it would be a pity to find a wrong one after it."""
        if unknown := self.flags.keys() - MergeFlags.__annotations__.keys():
            raise UsageError(f"there is no option {' and no option '.join(sorted(unknown))}")
        refuse_sharded(net)
        flags: dict[str, Any] = {name: value for name, value in self.flags.items() if name not in ("plan", "report", "require_merges")}
        with tempfile.TemporaryDirectory(prefix="inmerge-") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", InmergeWarning)  # what holds of untrained weights need not hold of trained ones
            file = Path(folder) / "model.safetensors"
            try:
                values = tensors(net)
            except InmergeError:
                return  # lazy weights have no shapes yet
            write(values, file)
            merge(file, dry_run=True, **{**flags, "allow_nonfinite": True})

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to merge as one that was not stopped."""
        return {"layers": self._noted, "reached": self.reached}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` said."""
        self._noted, self.reached, self._loaded = state["layers"], state["reached"], True
