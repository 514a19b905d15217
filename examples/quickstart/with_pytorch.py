"""Plain PyTorch: torchvision's ResNet-18, merged between epochs where it is, with a checkpoint an epoch to resume from."""

from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18
from toy_data import toy_loaders

from inmerge_ckpt.torch import layers, merge_

EPOCHS, LAST = 4, Path("last.pt")


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in loader)
    return right / len(loader.dataset)


torch.manual_seed(0)
loader, validation = toy_loaders()
model = resnet18(num_classes=2)
model.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
order = layers(model, torch.zeros(1, 1, 32, 32))  # once: in which order the convolutions run

done = 0
if LAST.exists():
    state = torch.load(LAST, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    done = state["epoch"]

if done >= EPOCHS:
    print(f"{LAST} holds {done} epochs already: remove it to begin anew.")
for epoch in range(done, EPOCHS):
    torch.manual_seed(epoch)  # a resumed run shuffles as one that was not stopped
    if epoch > 0:
        report = merge_(model, tau="5%", seed=epoch, optimizer=optimizer, layers=order)
        print(f"merged {report.totals.merged} of {report.totals.kernels} kernels")
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: validation accuracy {accuracy(model, validation):.3f}")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}
    torch.save(state, "last.pt.tmp")
    Path("last.pt.tmp").replace(LAST)
