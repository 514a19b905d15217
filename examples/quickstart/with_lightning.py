"""Lightning: one callback. Checkpoints, validation scores and resuming are Lightning's own."""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18
from toy_data import toy_loaders

from inmerge_ckpt.lightning import InMerge


class Classifier(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = resnet18(num_classes=2)
        self.net.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, _):
        images, labels = batch
        return cross_entropy(self(images), labels)

    def validation_step(self, batch, _):
        images, labels = batch
        self.log("accuracy", (self(images).argmax(1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


seed_everything(0)
loader, validation = toy_loaders()
logger = CSVLogger("logs")
trainer = Trainer(
    max_epochs=4, accelerator="cpu", logger=logger, log_every_n_steps=1,
    callbacks=[ModelCheckpoint(monitor="accuracy", mode="max", save_last=True), InMerge(tau="5%", momentum="merge")],
)
trainer.fit(Classifier(), loader, validation)
print(f"The best checkpoint: {trainer.checkpoint_callback.best_model_path}")
print(f"The counts of merged kernels: {logger.log_dir}/metrics.csv")
