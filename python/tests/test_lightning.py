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

    def fit(self, name, epochs, callback, module=None, resume=None, at_end=False, saver=None, **more):
        """Trains, and returns the module and the checkpoints by name."""
        import torch
        from lightning import Trainer
        from lightning.pytorch.callbacks import ModelCheckpoint
        from trained import loader

        torch.manual_seed(5)
        folder = self.folder / name
        saver = saver or ModelCheckpoint(folder, "{epoch}", save_top_k=-1, monitor=None if at_end else "score", save_on_train_epoch_end=at_end)
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

    def test_a_run_resumed_from_any_step_merges_as_one_that_was_not_stopped(self):
        import torch
        from lightning.pytorch.callbacks import ModelCheckpoint
        from trained import EPOCHS

        from inmerge_ckpt.lightning import InMerge

        def run(name, resume=None):
            callback = InMerge(**MERGING)
            merges = []
            merge = callback.merging.merge
            callback.merging.merge = lambda *of: merges.append((of[2], counts)) or counts if (counts := merge(*of)) else counts
            saver = ModelCheckpoint(self.folder / name, "{step}", save_top_k=-1, every_n_train_steps=2)
            _, saved, trainer = self.fit(name, EPOCHS, callback, resume=resume, saver=saver)
            return saved, digest(trainer.lightning_module.state_dict()), merges

        saved, whole, merges = run("whole")
        self.assertEqual([epoch for epoch, _ in merges], [1, 2, 3])
        # The last step of an epoch, from which Lightning goes on without the start of the next.
        for step in (4, 8, 12):
            _, resumed, again = run(f"from-{step}", saved[f"step={step}"])
            self.assertEqual(again, merges[step // 4 - 1:], step)
            self.assertEqual(resumed, whole, step)
        # Within an epoch; which batches come then is Lightning's matter.
        for step in (6, 10):
            _, _, again = run(f"from-{step}", saved[f"step={step}"])
            self.assertEqual([epoch for epoch, _ in again], [epoch for epoch, _ in merges[step // 4:]], step)
        content = torch.load(saved["step=6"], weights_only=False)
        self.assertEqual(next(value for key, value in content["callbacks"].items() if "InMerge" in key)["reached"], 1)

    def test_what_is_wrong_is_said_before_an_epoch_is_trained(self):
        from inmerge_ckpt import UsageError
        from inmerge_ckpt.lightning import InMerge

        for options in ({"taus": 3}, {"tau": "abc"}, {"partner": "none"}):
            module = self.module()
            module.training_step = lambda *_: self.fail("it trains")
            with self.assertRaises(UsageError):
                self.fit("wrong", 2, InMerge(**options), module)
        for options in ({"every": 1.5}, {"momentum": "drop"}, {"recalibrate": iter([])}):
            with self.assertRaises(UsageError):
                InMerge(**options)

    def test_a_callback_that_is_used_again_notes_the_new_model(self):
        from trained import EPOCHS

        from inmerge_ckpt.lightning import InMerge

        callback = InMerge(**MERGING)
        first = self.module()
        forward = first.training_step

        def fails(*batch):
            forward(*batch)
            raise RuntimeError("out of memory")

        first.training_step = fails
        with self.assertRaises(RuntimeError):
            self.fit("first", EPOCHS, callback, first)
        second = self.module()
        self.fit("second", EPOCHS, callback, second)
        names = [layer["name"] for layer in callback.merging.state_dict()["layers"]]
        self.assertEqual(names, ["net.stem.0.weight", *(f"net.body.{i}.0.weight" for i in range(4))])

    def test_a_compiled_model_is_merged_and_resumed(self):
        import torch
        from trained import EPOCHS

        from inmerge_ckpt.lightning import InMerge

        def module():
            module = self.module()
            module.net.compile(backend="eager")
            return module

        _, saved, _ = self.fit("first", 2, InMerge(**MERGING), module())
        before = torch.load(saved["epoch=1"], weights_only=False)["state_dict"]
        resumed, _, _ = self.fit("first", EPOCHS, InMerge(**MERGING), module(), resume=saved["epoch=1"])
        self.assertNotEqual(digest(resumed.state_dict()), digest(before))

    def test_of_a_compiled_step_the_order_is_noted_in_the_validation_or_that_is_said(self):
        import torch

        from inmerge_ckpt import InmergeWarning
        from inmerge_ckpt.epochs import BetweenEpochs
        from inmerge_ckpt.lightning import InMerge

        module = self.module()
        module.training_step = torch.compile(module.training_step, backend="eager")
        callback = InMerge(**MERGING)
        self.fit("run", 2, callback, module)
        names = [layer["name"] for layer in callback.merging.state_dict()["layers"]]
        self.assertEqual(names, ["net.stem.0.weight", *(f"net.body.{i}.0.weight" for i in range(4))])

        merging = BetweenEpochs(**MERGING)
        merging.begin(module, 0)
        with self.assertWarnsRegex(InmergeWarning, "no convolution was seen to run"):
            self.assertGreater(merging.merge(module, [], 1)["inmerge/kernels_merged"], 0)

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
