"""Merging between Lightning's epochs, with its own trainer, checkpoints and loggers."""

import logging
import unittest
import warnings

from common import MERGING, Case, digest, needs, quiet


@needs("torch", "safetensors", "lightning", "tensorboard")
class Lightning(Case):
    def setUp(self):
        super().setUp()
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")

    def module(self):
        import lightning
        import torch
        from torch import nn
        from trained import loss, network

        class Module(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = network()

            def forward(self, pictures):
                return self.net(pictures)

            def training_step(self, batch, _):
                return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

            def validation_step(self, batch, index):
                if index == 0:
                    self.log("score", loss(self.net), batch_size=1)

            def configure_optimizers(self):
                return torch.optim.AdamW(self.parameters(), 1e-2)

        return Module()

    def fit(self, name, epochs, callback, module=None, resume=None, at_end=False, **more):
        """Trains, and returns the module and the checkpoints by name."""
        import torch
        from lightning import Trainer
        from lightning.pytorch.callbacks import ModelCheckpoint
        from trained import loader

        torch.manual_seed(5)
        folder = self.folder / name
        saver = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, monitor=None if at_end else "score", save_on_train_epoch_end=at_end)
        options = {"logger": False, "callbacks": [callback, saver], **more}
        with quiet():
            trainer = Trainer(max_epochs=epochs, accelerator="cpu", devices=1, enable_progress_bar=False, enable_model_summary=False,
                              num_sanity_val_steps=0, default_root_dir=folder, log_every_n_steps=1, **options)
            module = module or self.module()
            trainer.fit(module, loader(), loader(), ckpt_path=resume, weights_only=False)
        return module, {path.stem: path for path in folder.glob("*.ckpt")}, trainer

    def test_a_resumed_run_equals_one_that_was_not_stopped(self):
        import torch
        from trained import EPOCHS

        from inmerge_ckpt.lightning import InMerge

        for at_end in (False, True):
            for momentum in ("keep", "merge"):
                name = f"{at_end}-{momentum}"
                options = {"momentum": momentum, **MERGING}
                _, whole, _ = self.fit(f"whole-{name}", EPOCHS, InMerge(**options), at_end=at_end)
                self.assertEqual(len(whole), EPOCHS)
                _, stopped, _ = self.fit(f"stopped-{name}", 2, InMerge(**options), at_end=at_end)
                _, resumed, _ = self.fit(f"stopped-{name}", EPOCHS, InMerge(**options), resume=stopped["epoch=1"], at_end=at_end)
                _, without, _ = self.fit(f"without-{name}", EPOCHS, InMerge(tau=1, skip_shallow=1), at_end=at_end)
                for epoch in range(EPOCHS):
                    a, b, c = (torch.load(files[f"epoch={epoch}"], weights_only=False) for files in (whole, resumed, without))
                    self.assertEqual(digest([a["state_dict"], a["optimizer_states"]]), digest([b["state_dict"], b["optimizer_states"]]), (name, epoch))
                    same = digest(a["state_dict"]) == digest(c["state_dict"])
                    self.assertEqual(same, epoch == 0, (name, epoch))

    def test_a_recorded_score_is_that_of_the_saved_weights(self):
        import torch
        from trained import EPOCHS, loss

        from inmerge_ckpt.lightning import InMerge

        _, saved, _ = self.fit("run", EPOCHS, InMerge(**MERGING))
        for path in saved.values():
            content = torch.load(path, weights_only=False)
            module = self.module()
            module.load_state_dict(content["state_dict"])
            recorded = next(value for key, value in content["callbacks"].items() if "ModelCheckpoint" in key)["current_score"]
            self.assertAlmostEqual(float(recorded), loss(module.net), places=6)

    def test_counts_reach_the_logger_and_options_hold(self):
        from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from trained import EPOCHS, loader

        from inmerge_ckpt.lightning import InMerge

        board, table = TensorBoardLogger(self.folder / "board"), CSVLogger(self.folder / "table")
        callback = InMerge(every=2, last=True, report=self.folder / "reports", report_every=4, recalibrate=loader(), **MERGING)
        module = self.module()
        identities = [id(value) for value in module.parameters()]
        _, saved, _ = self.fit("run", EPOCHS, callback, module, logger=[board, table])
        self.assertEqual([id(value) for value in module.parameters()], identities)
        events = EventAccumulator(board.log_dir)
        events.Reload()
        merged = events.Scalars("inmerge/kernels_merged")
        self.assertEqual([(event.step, event.value > 0) for event in merged], [(8, True), (16, True)])
        self.assertEqual([event.value for event in events.Scalars("inmerge/kernels")], [64, 64])
        self.assertEqual([path.name for path in (self.folder / "reports").iterdir()], ["epoch-4"])
        self.assertTrue((self.folder / "reports/epoch-4/index.html").is_file())
        self.assertEqual(len(saved), EPOCHS)

    def test_an_average_is_merged_along(self):
        import torch
        from lightning.pytorch.callbacks import EMAWeightAveraging
        from trained import EPOCHS

        from inmerge_ckpt.lightning import InMerge

        class Look(InMerge):
            def on_train_epoch_start(self, trainer, pl_module):
                before = digest(averaging._average_model.state_dict())
                super().on_train_epoch_start(trainer, pl_module)
                changed.append(digest(averaging._average_model.state_dict()) != before)

        changed = []
        averaging = EMAWeightAveraging(decay=0.5)
        callback = Look(ema=lambda: averaging._average_model, **MERGING)
        module, _, _ = self.fit("run", EPOCHS, callback, callbacks=[averaging, callback])
        self.assertEqual(changed, [False, True, True, True])
        self.assertTrue(all(value.isfinite().all() for value in module.state_dict().values() if isinstance(value, torch.Tensor)))


if __name__ == "__main__":
    unittest.main()
