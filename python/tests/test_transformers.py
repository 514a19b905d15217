"""Merging between the epochs of Hugging Face's Trainer."""

import os
import unittest
import unittest.mock
import warnings

from common import MERGING, Case, digest, needs, quiet


@needs("torch", "safetensors", "transformers", "accelerate")
class Transformers(Case):
    def trainer(self, name, epochs, arguments=None, dataset=None, **options):
        import torch
        from torch import nn
        from trained import images, loss, network
        from transformers import Trainer, TrainingArguments

        from inmerge_ckpt.transformers import InMerge

        warnings.simplefilter("ignore")

        class Classifier(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = network()

            def forward(self, pixel_values, labels):
                logits = self.net(pixel_values)
                return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

        model = Classifier()
        arguments = TrainingArguments(str(self.folder / name), num_train_epochs=epochs, per_device_train_batch_size=4, learning_rate=1e-2,
                                      lr_scheduler_type="constant", use_cpu=True, disable_tqdm=True, seed=5, report_to=["tensorboard"],
                                      **{"save_strategy": "epoch", "eval_strategy": "epoch", "logging_strategy": "epoch", **(arguments or {})})
        data = [{"pixel_values": image, "labels": label} for image, label in zip(*images(), strict=True)]

        trainer = Trainer(model, arguments, train_dataset=dataset or data, eval_dataset=data, compute_metrics=lambda _: {"score": loss(model.net)})
        self.assertIsInstance(model.net[0][0].weight, torch.nn.Parameter)
        return trainer, InMerge(**{**MERGING, **options})

    def train(self, name, epochs, resume=None, **options):
        trainer, callback = self.trainer(name, epochs, **options)
        callback.attach(trainer)
        with quiet():
            trainer.train(resume_from_checkpoint=resume)
        return trainer, sorted((self.folder / name).glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))

    def saved(self, folder):
        import torch
        from safetensors.torch import load_file

        return digest([dict(sorted(load_file(folder / "model.safetensors").items())), torch.load(folder / "optimizer.pt", weights_only=True)["state"]])

    def test_a_resumed_run_equals_one_that_was_not_stopped(self):
        from trained import EPOCHS

        for momentum in ("keep", "merge"):
            _, whole = self.train(f"whole-{momentum}", EPOCHS, momentum=momentum)
            _, resumed = self.train(f"resumed-{momentum}", EPOCHS, resume=str(whole[1]), momentum=momentum)
            self.assertEqual([path.name for path in whole], [f"checkpoint-{4 * epoch}" for epoch in range(1, EPOCHS + 1)])
            self.assertEqual([self.saved(path) for path in whole[2:]], [self.saved(path) for path in resumed])
        _, without = self.train("without", EPOCHS, every=100)
        self.assertNotEqual(self.saved(without[0]), self.saved(whole[0]))

    def test_a_run_resumed_from_any_step_merges_as_one_that_was_not_stopped(self):
        steps = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "no"}
        _, whole = self.train("whole", 3, arguments=steps)
        last = self.saved(whole[-1])
        for path in whole[:-1]:
            trainer, resumed = self.train(f"resumed-{path.name}", 3, resume=str(path), arguments=steps)
            self.assertEqual(self.saved(resumed[-1]), last, path.name)
            merges = [row["step"] for row in trainer.state.log_history if "inmerge/kernels" in row]
            self.assertEqual(merges, [4, 8], path.name)

    def test_epochs_of_data_without_a_length_are_counted(self):
        import torch
        from trained import images

        class Stream(torch.utils.data.IterableDataset):
            def __iter__(self):
                return ({"pixel_values": image, "labels": label} for image, label in zip(*images(), strict=True))

        steps = {"max_steps": 12, "save_strategy": "no", "eval_strategy": "no"}
        trainer, _ = self.train("stream", 1, arguments=steps, dataset=Stream())
        self.assertEqual([row["step"] for row in trainer.state.log_history if "inmerge/kernels" in row], [4, 8])

    def test_scores_belong_to_the_saved_weights_and_counts_are_logged(self):
        from safetensors.torch import load_file
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from trained import EPOCHS, loss, network

        with unittest.mock.patch.dict(os.environ, {"TENSORBOARD_LOGGING_DIR": str(self.folder / "board")}):
            trainer, saved = self.train("run", EPOCHS)
        log = trainer.state.log_history
        scores = {row["step"]: row["eval_score"] for row in log if "eval_score" in row}
        for path in saved:
            net = network()
            net.load_state_dict({name.removeprefix("net."): value for name, value in load_file(path / "model.safetensors").items()})
            self.assertEqual(scores[int(path.name.partition("-")[2])], loss(net))
        counts = [(row["step"], row["inmerge/kernels"]) for row in log if "inmerge/kernels" in row]
        self.assertEqual(counts, [(4, 64), (8, 64), (12, 64)])
        events = EventAccumulator(str(self.folder / "board"))
        events.Reload()
        merged = [tag for tag in events.Tags()["scalars"] if tag.endswith("inmerge/kernels_merged")]
        self.assertEqual([event.step for event in events.Scalars(merged[0])], [4, 8, 12])

    def test_the_last_epoch_is_merged_where_that_is_asked_for(self):
        trainer, _ = self.train("run", 2, last=True, every=2)
        self.assertEqual([row["step"] for row in trainer.state.log_history if "inmerge/kernels" in row], [8])

    def test_it_must_be_attached(self):
        from inmerge_ckpt import InmergeError

        trainer, callback = self.trainer("run", 1)
        trainer.add_callback(callback)
        with self.assertRaisesRegex(InmergeError, "attach"), quiet():
            trainer.train()


if __name__ == "__main__":
    unittest.main()
