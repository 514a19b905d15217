"""Merging between the epochs of an ignite engine, which MONAI's trainers are too.

    from inmerge_ckpt.ignite import InMerge
    InMerge(model, optimizer, tau="5%").attach(trainer)
    SupervisedTrainer(…, train_handlers=[InMerge(model, optimizer, tau="5%")])       # MONAI
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

from .epochs import BetweenEpochs, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


class InMerge:
    """Merges similar kernels as an epoch begins, those that the epochs before it trained.

    An epoch's evaluation and its checkpoints so see the weights as they were trained, in whatever order their handlers are attached. Save
    the handler with the model (`to_save={"inmerge": handler, …}`): a resumed run then merges as one that was not stopped. The counts are
    in `engine.state.metrics`, from which loggers take them. With `last` the weights are merged once more after the last epoch.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer | Iterable[Optimizer] = (), **options: Unpack[Options]):
        """Takes the options of `inmerge_ckpt.epochs.Options`: `every`, `momentum`, …, and the flags of `merge`: `tau`, …"""
        self.merging = BetweenEpochs(**options)
        self.model = model
        self.optimizers = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)

    def attach(self, engine: Engine) -> None:
        """Adds the handler to a trainer."""
        engine.add_event_handler(Events.STARTED, lambda engine: self.merging.begin(self.model, engine.state.epoch))
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: self.merging.known())
        engine.add_event_handler(Events.COMPLETED, self._completed)

    def _epoch_started(self, engine: Engine) -> None:
        self._merge(engine, engine.state.epoch - 1)

    def _completed(self, engine: Engine) -> None:
        if self.merging.last:
            self._merge(engine, engine.state.epoch)

    def _merge(self, engine: Engine, epoch: int) -> None:
        engine.state.metrics.update(self.merging.merge(self.model, self.optimizers, epoch) or {})

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint is to keep."""
        return self.merging.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up what a checkpoint kept."""
        self.merging.load_state_dict(state_dict)
