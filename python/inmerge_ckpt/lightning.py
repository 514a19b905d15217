"""Merging between the epochs of Lightning's trainer.

    from inmerge_ckpt.lightning import InMerge
    trainer = Trainer(callbacks=[InMerge(tau="5%", momentum="merge")])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer

from .epochs import BetweenEpochs, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


class InMerge(Callback):
    """Merges similar kernels as an epoch begins, those that the epochs before it trained.

    An epoch's validation and its checkpoints so see the weights as they were trained, and belong together: at `on_train_epoch_end` a
    merge would fall between the validation that finds the best checkpoint and its saving. What a resumed run needs is in the checkpoint.
    With `last` the weights are merged once more after the last epoch, after its checkpoint.
    """

    def __init__(self, **options: Unpack[Options]):
        """Takes the options of `inmerge_ckpt.epochs.Options`: `every`, `momentum`, …, and the flags of `merge`: `tau`, …"""
        self.merging = BetweenEpochs(**options)

    @property
    def state_key(self) -> str:
        """Tells the states of several callbacks apart, for different layers."""
        flags = self.merging.flags
        return self._generate_state_key(**{name: repr(flags.get(name)) for name in ("include", "exclude", "kinds")})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the options, and begins to note the order of the convolutions."""
        self.merging.begin(pl_module, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merges what the epochs before this one trained."""
        self._merge(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Merges where a run is resumed at the end of an epoch, after which Lightning leaves out the start of the next."""
        self._merge(trainer, pl_module)

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Ends that."""
        self.merging.known()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merges what the last epoch trained, if that is asked for."""
        if self.merging.last:
            self._merge(trainer, pl_module)

    def _merge(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Stochastic weight averaging ends with an epoch that trains nothing: it estimates BatchNorm's statistics of the average.
        if getattr(trainer.fit_loop, "_skip_backward", False):
            return
        counts = self.merging.merge(pl_module, trainer.optimizers, trainer.current_epoch)
        for logger in trainer.loggers if counts else []:
            logger.log_metrics(counts or {}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """What Lightning saves in the checkpoint."""
        return self.merging.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What Lightning read from the checkpoint."""
        self.merging.load_state_dict(state_dict)
