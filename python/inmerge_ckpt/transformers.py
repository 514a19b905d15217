"""Merging between the epochs of Hugging Face's Trainer.

    from inmerge_ckpt.transformers import InMerge
    InMerge(tau="5%").attach(trainer)
    trainer.train()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ._program import InmergeError
from .epochs import BetweenEpochs, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


class InMerge(TrainerCallback):
    """Merges similar kernels as an epoch ends, before the Trainer evaluates and saves, so that scores and checkpoints belong together.

    With `last` also as the last epoch ends. The counts go to the Trainer's log.
    """

    def __init__(self, **options: Unpack[Options]):
        """Takes the options of `inmerge_ckpt.epochs.Options`: `every`, `momentum`, …, and the flags of `merge`: `tau`, …"""
        self.merging = BetweenEpochs(**options)
        self.trainer: Trainer | None = None

    def attach(self, trainer: Trainer) -> None:
        """Adds the callback to a trainer."""
        self.trainer = trainer
        trainer.add_callback(self)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Begins to note the order of the convolutions."""
        if self.trainer is None:
            raise InmergeError("attach the callback, so that its counts reach the Trainer's log: InMerge(…).attach(trainer)")
        self.merging.watch(kwargs["model"])

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Ends that."""
        self.merging.known()

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Merges, unless this is the last epoch and `last` is not set."""
        epoch = round(state.epoch or 0)
        ends = control.should_training_stop or state.global_step >= state.max_steps
        if epoch == 0 or (ends and not self.merging.last):
            return
        optimizer = kwargs["optimizer"]
        # Accelerate puts a wrapper around it.
        counts = self.merging.merge(kwargs["model"], [getattr(optimizer, "optimizer", optimizer)], epoch)
        if counts is not None and self.trainer is not None:
            self.trainer.log(counts)
