"""Reports among what TensorBoard, W&B and MLflow keep, each with its own files on this machine."""

import contextlib
import os
import unittest
import unittest.mock
import warnings

from common import DEMO, Case, needs, quiet

from inmerge_ckpt import InmergeError, analyze, log_report


class Log(Case):
    def setUp(self):
        super().setUp()
        warnings.simplefilter("ignore")
        self.report = self.folder / "report"
        numbers = analyze(DEMO, self.report, png="all")
        self.expected = {layer["name"]: layer["max_similarity"] for layer in numbers["layers"]}

    def checked(self, scalars):
        """The scalars are those of the report, to the precision of the logger."""
        self.assertGreater(len(self.expected), 15)
        for name, value in self.expected.items():
            self.assertAlmostEqual(scalars[f"inmerge/max_similarity/{name}"], value, places=6)
            self.assertGreater(scalars[f"inmerge/effective_rank/{name}"], 1)
        self.assertEqual(len(scalars), 3 * len(self.expected) + 1)

    @needs("torch", "tensorboard")
    def test_tensorboard(self):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.folder / "board")) as writer:
            log_report(self.report, writer, step=3)
        events = EventAccumulator(str(self.folder / "board"))
        events.Reload()
        tags = events.Tags()
        self.checked({tag: events.Scalars(tag)[0].value for tag in tags["scalars"]})
        self.assertEqual({event.step for tag in tags["scalars"] for event in events.Scalars(tag)}, {3})
        self.assertEqual(len(tags["images"]), len(self.expected) + 3)
        self.assertGreater(events.Images("inmerge/nearest-over-depth")[0].width, 300)

    @needs("torch", "tensorboard", "lightning")
    def test_a_lightning_logger(self):
        from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

        logger = TensorBoardLogger(self.folder / "board")
        log_report(self.report, logger)
        logger.finalize("success")
        self.assertTrue(list((self.folder / "board").rglob("events*")))
        with self.assertRaisesRegex(InmergeError, "CSVLogger is no logger that reports are known for"):
            log_report(self.report, CSVLogger(self.folder / "table"))

    @needs("wandb")
    def test_wandb(self):
        import wandb

        with quiet():
            run = wandb.init(mode="offline", dir=str(self.folder), project="inmerge", settings=wandb.Settings(console="off"))
            log_report(self.report, run)
            logged = dict(run.summary)
            run.finish()
            wandb.teardown()
        self.checked({name: value for name, value in logged.items() if "/" in name and isinstance(value, float)})
        pictures = [path.name for path in self.folder.rglob("wandb/**/*.png")]
        self.assertTrue(any("nearest-over-depth" in name for name in pictures))

    @needs("mlflow")
    def test_mlflow(self):
        with unittest.mock.patch.dict(os.environ, {"MLFLOW_ALLOW_FILE_STORE": "true"}), contextlib.redirect_stderr(None):
            import mlflow

            mlflow.set_tracking_uri(f"file://{self.folder}/mlruns")
            with mlflow.start_run() as run:
                log_report(self.report, mlflow, step=2)
            self.checked(mlflow.get_run(run.info.run_id).data.metrics)
        self.assertTrue(list(self.folder.glob("mlruns/**/artifacts/inmerge/step-2/index.html")))

    def test_a_folder_without_a_report(self):
        with self.assertRaisesRegex(InmergeError, "holds no report"):
            log_report(self.folder, None)


if __name__ == "__main__":
    unittest.main()
