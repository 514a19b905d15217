"""What the callbacks of the trainers have in common: when they merge, with which seed, and what they say of it.

For a trainer that has no callback here: call `watch` before the first batch, `known` after it, and `merge` between the epochs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ._commands import MergeFlags
from ._program import InmergeError, UsageError
from .torch import Recorder, merge_, recalibrate_
from .torch._live import Average
from .torch._save import unwrapped
from .torch.describe import Layer


class Options(MergeFlags, total=False):
    """The options of the callbacks; all that are not listed here are flags of `merge`.

    `every`: merge after every so many epochs (1). `last`: also after the last one, which no training follows (False). `momentum`: "keep",
    the default, leaves the optimizers' momentum, "merge" blends it along. `ema`: an average to which the same merges are done: a model, a
    state dict, or a function that returns one. `recalibrate`: batches from which BatchNorm's statistics are estimated anew after a merge.
    `report`: a folder for reports, `epoch-N` for each merge after an epoch that `report_every` (1) divides. `layers`: the order in which
    the convolutions run; without it that of the first batch is noted. `seed`: that of the run; the merge after epoch N has `seed + N`.
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
        if every < 1 or report_every < 1:
            raise UsageError("every and report_every count epochs; they must be 1 or more")
        if momentum not in ("keep", "merge"):
            raise UsageError(f"momentum is {momentum!r}; it must be 'keep' or 'merge'")
        self.every, self.last, self.momentum, self.ema, self.recalibrate = every, last, momentum, ema, recalibrate
        self.report, self.report_every = report, report_every
        self.layers = layers
        self.flags: MergeFlags = flags  # type: ignore[assignment]  # the program checks their names
        self._recorder: Recorder | None = None
        self._compiled = False

    def watch(self, model: nn.Module) -> None:
        """Notes the order in which the convolutions run, from now on and until `known`, where it is not known yet."""
        # Hooks would become part of a compiled model, so there the program recognises or guesses the order.
        self._compiled = any(hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) for module in model.modules())
        if self.layers is None and self._recorder is None and not self._compiled:
            self._recorder = Recorder(unwrapped(model))

    def known(self) -> None:
        """Ends that, after a batch."""
        if self._recorder is not None and self._recorder.ran:
            self._recorder.close()
            self.layers = self._recorder.layers()
            self._recorder = None

    def merge(self, model: nn.Module, optimizers: Iterable[Optimizer], epoch: int) -> dict[str, float] | None:
        """Merges after so many epochs, if it is time; the counts for the trainer's log."""
        if epoch % self.every:
            return None
        if self.layers is None and not self._compiled:
            raise InmergeError("it is not known in which order the convolutions run: the run was resumed without this callback's state; "
                               "save that too, or give layers=inmerge_ckpt.torch.layers(model, images)")
        flags = self.flags.copy()
        flags["seed"] = flags.get("seed", 0) + epoch
        if self.report is not None and epoch % self.report_every == 0:
            flags["report"], flags["force"] = Path(self.report) / f"epoch-{epoch}", True
        done = merge_(model, optimizer=list(optimizers) if self.momentum == "merge" else None, ema=self.ema, layers=self.layers, **flags)
        if self.recalibrate is not None and done.totals.merged:
            recalibrate_(model, self.recalibrate)
        return {"inmerge/kernels_merged": float(done.totals.merged), "inmerge/kernels": float(done.totals.kernels)}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to merge as one that was not stopped."""
        return {"layers": None if self.layers is None else list(self.layers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` said."""
        self.layers = self.layers or state["layers"]
