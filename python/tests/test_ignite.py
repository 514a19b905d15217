"""Merging between the epochs of ignite's engine and of MONAI's trainer."""

import logging
import unittest
import warnings

from common import MERGING, Case, digest, needs


def optimized(net):
    import torch

    return torch.optim.SGD(net.parameters(), 1e-2, momentum=0.9)


@needs("torch", "safetensors", "ignite")
class Ignite(Case):
    def run_for(self, name, epochs, resume=None, handler_first=True, every_iterations=None, **options):
        """Trains with evaluation and checkpoints, and returns the checkpoints by epoch, scores and merges by epoch."""
        import torch
        from ignite.engine import Engine, Events
        from ignite.handlers import Checkpoint, DiskSaver
        from torch import nn
        from trained import loader, loss, network

        from inmerge_ckpt.ignite import InMerge

        net = network()
        optimizer = optimized(net)
        merge = InMerge(net, optimizer, **{**MERGING, **options})

        def step(_, batch):
            net.train()
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(batch[0]), batch[1]).backward()
            optimizer.step()

        engine = Engine(step)
        scores, merged = {}, {}
        if handler_first:
            merge.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: scores.update({engine.state.epoch: loss(net)}))
        folder = self.folder / name
        parts = {"net": net, "optimizer": optimizer, "trainer": engine, "inmerge": merge}
        saver = Checkpoint(parts, DiskSaver(folder, create_dir=True, require_empty=False), n_saved=None,
                           global_step_transform=lambda engine, _: engine.state.iteration)
        at = Events.ITERATION_COMPLETED(every=every_iterations) if every_iterations else Events.EPOCH_COMPLETED
        engine.add_event_handler(at, saver)
        if not handler_first:
            merge.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: merged.update({engine.state.epoch: dict(engine.state.metrics)}))
        if resume is not None:
            Checkpoint.load_objects(parts, torch.load(resume, weights_only=False))
        engine.run(loader(), max_epochs=epochs)
        files = {int(path.stem.rpartition("_")[2]): path for path in folder.glob("*.pt")}
        return files, scores, merged

    def weights(self, path):
        import torch

        content = torch.load(path, weights_only=False)
        return digest([content["net"], content["optimizer"]])

    def test_a_resumed_run_equals_one_that_was_not_stopped(self):
        from trained import EPOCHS

        for momentum in ("keep", "merge"):
            whole, _, _ = self.run_for(f"whole-{momentum}", EPOCHS, momentum=momentum)
            stopped, _, _ = self.run_for(f"stopped-{momentum}", 2, momentum=momentum)
            resumed, _, _ = self.run_for(f"stopped-{momentum}", EPOCHS, resume=stopped[8], momentum=momentum, handler_first=False)
            self.assertEqual(sorted(whole), [4, 8, 12, 16])
            for iteration in whole:
                self.assertEqual(self.weights(whole[iteration]), self.weights(resumed[iteration]), iteration)
        without, _, _ = self.run_for("without", EPOCHS, every=100)
        self.assertEqual([self.weights(without[i]) == self.weights(whole[i]) for i in (4, 8)], [True, False])

    def test_a_run_resumed_within_an_epoch_is_not_merged_again(self):
        from trained import EPOCHS

        whole, _, merged = self.run_for("whole", EPOCHS, every_iterations=2)
        resumed, _, again = self.run_for("resumed", EPOCHS, resume=whole[6], every_iterations=2)
        self.assertEqual(sorted(resumed), [8, 10, 12, 14, 16])
        self.assertGreater(merged[2]["inmerge/kernels_merged"], 0)
        self.assertEqual([bool(counts) for counts in again.values()], [False, True, True])

    def test_an_epoch_that_is_cut_short_ends_no_merging(self):
        from ignite.engine import Engine, Events
        from trained import loader, network

        from inmerge_ckpt.ignite import InMerge

        net = network()
        engine, merges = Engine(lambda engine, batch: net(batch[0])), []
        handler = InMerge(net, **MERGING)
        handler.attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=6), lambda engine: engine.terminate_epoch())
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: merges.append(bool(engine.state.metrics.pop("inmerge/kernels", 0))))
        engine.run(loader(), max_epochs=5)
        self.assertEqual(merges, [False, True, True, True, True])
        # The same engine goes on: what was merged is not merged again.
        engine.run(loader(), max_epochs=6)
        self.assertEqual(merges, [False, True, True, True, True, True])

    def test_scores_belong_to_the_saved_weights_and_counts_are_metrics(self):
        import torch
        from trained import EPOCHS, loss, network

        files, scores, merged = self.run_for("run", EPOCHS, every=2, last=True, handler_first=True)
        for epoch, score in scores.items():
            net = network()
            net.load_state_dict(torch.load(files[4 * epoch], weights_only=False)["net"])
            self.assertEqual(score, loss(net))
        self.assertEqual([bool(counts) for counts in merged.values()], [False, False, True, True])
        self.assertGreater(merged[3]["inmerge/kernels_merged"], 0)
        self.assertEqual(merged[3]["inmerge/kernels"], 64)

    def test_a_run_resumed_without_the_handler_s_state_says_so(self):
        from trained import network

        from inmerge_ckpt import InmergeWarning
        from inmerge_ckpt.epochs import BetweenEpochs

        net = network()
        merging = BetweenEpochs(**MERGING)
        with self.assertWarnsRegex(InmergeWarning, "goes on after epoch 2 without this callback's state"):
            merging.begin(net, 2)
        self.assertIsNone(merging.merge(net, [], 2))


@needs("torch", "safetensors", "ignite", "monai", "tensorboard")
class Monai(Case):
    def test_it_is_a_handler_of_monai_s_trainer(self):
        import torch
        from ignite.handlers import EMAHandler
        from monai.engines import SupervisedTrainer
        from monai.handlers import TensorBoardStatsHandler
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from trained import EPOCHS, images, network

        from inmerge_ckpt.ignite import InMerge

        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        net = network()
        optimizer = optimized(net)
        data = [{"image": image, "label": label} for image, label in zip(*images(), strict=True)]
        loader = torch.utils.data.DataLoader(data, 4)
        average = EMAHandler(net, momentum=0.5)
        merge = InMerge(net, optimizer, ema=average.ema_model, recalibrate=lambda: (batch["image"] for batch in loader), momentum="merge", **MERGING)
        trainer = SupervisedTrainer(torch.device("cpu"), EPOCHS, loader, net, optimizer, torch.nn.CrossEntropyLoss(),
                                    train_handlers=[merge, TensorBoardStatsHandler(log_dir=str(self.folder), tag_name="loss",
                                                                                   output_transform=lambda output: output[0]["loss"])])
        average.attach(trainer)
        trainer.run()
        events = EventAccumulator(str(self.folder))
        events.Reload()
        merged = events.Scalars("inmerge/kernels_merged")
        self.assertEqual([event.step for event in merged], [2, 3, 4])
        self.assertTrue(all(event.value > 0 for event in merged))


if __name__ == "__main__":
    unittest.main()
