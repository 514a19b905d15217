"""timm: a model, optimizer and average of timm's in a loop of your own; the average is merged along."""

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch.nn.functional import cross_entropy
from toy_data import toy_loaders

from inmerge_ckpt.torch import layers, merge_, recalibrate_, save_checkpoint

EPOCHS = 3


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in loader)
    return right / len(loader.dataset)


torch.manual_seed(0)
loader, validation = toy_loaders()
model = timm.create_model("resnet10t", in_chans=1, num_classes=2)
optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
ema = ModelEmaV3(model, decay=0.9)
example = torch.zeros(1, 1, 32, 32)
order = layers(model, example)

for epoch in range(EPOCHS):
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
        ema.update(model)
    print(f"epoch {epoch + 1}: validation accuracy {accuracy(model, validation):.3f}, of the average {accuracy(ema.module, validation):.3f}")
    # Of the 14 convolutions of this small network, 5 are left alone instead of 10.
    report = merge_(model, tau="10%", seed=epoch, optimizer=optimizer, ema=ema, layers=order, skip_shallow=5)
    print(f"merged {report.totals.merged} of {report.totals.kernels} kernels")

# No training follows the last merge, so BatchNorm's statistics are estimated anew before the model is scored and kept.
recalibrate_(model, loader)
print(f"merged and recalibrated: validation accuracy {accuracy(model, validation):.3f}")
save_checkpoint(model, "model.safetensors", example_input=example)
