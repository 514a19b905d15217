"""Merging between the epochs of Hugging Face's Trainer.

    from inmerge_ckpt.transformers import InMerge
    InMerge(tau="5%").attach(trainer)
    trainer.train()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ._program import InmergeError
from .epochs import BetweenEpochs, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


# Under which name the Trainer's state, which is saved with each checkpoint, keeps what a resumed run needs.
STATE = "inmerge"


class InMerge(TrainerCallback):
    """Merges similar kernels as an epoch ends, before the Trainer evaluates and saves, so that scores and checkpoints belong together.

    With `last` also as the last epoch ends; the last of a run that is stopped early is merged, as the stop comes after. A checkpoint that is
    saved at a step is saved before the merge of the epoch that the step ends; a run that is resumed from it begins with that merge. What a
    resumed run needs is in the checkpoint. The counts go to the Trainer's log.
    """

    def __init__(self, **options: Unpack[Options]):
        """Takes the options of `inmerge_ckpt.epochs.Options`: `every`, `momentum`, …, and the flags of `merge`: `tau`, …"""
        self.merging = BetweenEpochs(**options)
        self.trainer: Trainer | None = None
        self.epochs = 0

    def attach(self, trainer: Trainer) -> None:
        """Adds the callback to a trainer."""
        self.trainer = trainer
        trainer.add_callback(self)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Checks the options, and merges where a run is resumed from a checkpoint that was saved before the epoch's merge."""
        if self.trainer is None:
            raise InmergeError("attach the callback, so that its counts reach the Trainer's log: InMerge(…).attach(trainer)")
        epoch = state.epoch or 0.0
        self.epochs = int(epoch + 1e-6)
        saved = self._saved(state).get(STATE)
        if state.global_step > 0 and saved:
            self.merging.load_state_dict(saved)
        self.merging.begin(kwargs["model"], self.epochs)
        if abs(epoch - self.epochs) < 1e-6:
            self._merge(state, kwargs)

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Counts the epochs; what the state says is not their number where the data have no length."""
        self.epochs += 1

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Notes the order of the convolutions, and has the Trainer's state keep it."""
        self.merging.known()
        self._saved(state)[STATE] = self.merging.state_dict()

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Merges, unless this is the last epoch and `last` is not set."""
        ends = control.should_training_stop or state.global_step >= state.max_steps
        if self.merging.last or not ends:
            self._merge(state, kwargs)

    @staticmethod
    def _saved(state: TrainerState) -> dict[str, Any]:
        """What the state keeps of callbacks, by name."""
        callbacks: Any = state.stateful_callbacks
        return cast(dict[str, Any], callbacks)

    def _merge(self, state: TrainerState, kwargs: dict[str, Any]) -> None:
        optimizer = kwargs["optimizer"]
        # Accelerate puts a wrapper around it.
        counts = self.merging.merge(kwargs["model"], [getattr(optimizer, "optimizer", optimizer)], self.epochs)
        self._saved(state)[STATE] = self.merging.state_dict()
        if counts is not None and self.trainer is not None:
            self.trainer.log(counts)
