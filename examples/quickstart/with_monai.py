"""MONAI: a handler of SupervisedTrainer, for any network of MONAI's."""

import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import CheckpointSaver, StatsHandler, ValidationHandler, from_engine
from monai.networks.nets import DenseNet121
from monai.utils import set_determinism
from torch.utils.data import DataLoader
from toy_data import toy_images

from inmerge_ckpt.ignite import InMerge

EPOCHS = 3


def records(count, seed):
    return [{"image": image, "label": label} for image, label in zip(*toy_images(count, seed), strict=True)]


set_determinism(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = DenseNet121(spatial_dims=2, in_channels=1, out_channels=2, block_config=(2, 4, 4, 2)).to(device)
optimizer = torch.optim.Adam(model.parameters(), 1e-3)
evaluator = SupervisedEvaluator(device, DataLoader(records(128, 1), 64), model)
# Its layers have 32 kernels, of which 5 % is one: not enough for a pair.
merge = InMerge(model, optimizer, tau="10%", momentum="merge")

trainer = SupervisedTrainer(
    device, EPOCHS, DataLoader(records(256, 0), 64, shuffle=True), model, optimizer, torch.nn.CrossEntropyLoss(),
    train_handlers=[
        merge,
        ValidationHandler(1, evaluator),
        # Prints the counts of merged kernels among the metrics.
        StatsHandler(tag_name="loss", output_transform=from_engine("loss", first=True), iteration_log=False),
        # The handler's state is saved too, so that a resumed run merges as one that was not stopped.
        CheckpointSaver("runs", {"model": model, "optimizer": optimizer, "inmerge": merge}, save_interval=1),
    ],
)
trainer.run()
