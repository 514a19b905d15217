"""A network whose structure its names and shapes do not tell, and what is saved of it.

`odd_net.py FOLDER` writes `resnet18.safetensors`, `whole.safetensors` (every name with its own bytes) and
`once.safetensors` (each weight under one name, with what `inmerge_ckpt.torch.describe` says of it in the metadata).
"""

import sys

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


class OddNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.last = nn.Conv2d(16, classes, 1)
        self.never = nn.Conv2d(4, 4, 3)
        self.widen = nn.ConvTranspose2d(16, 8, 2, stride=2, groups=2, bias=False)
        self.normed = weight_norm(nn.Conv2d(8, 16, 3, padding=1))
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4, bias=False)
        self.tied = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.tied.weight = self.grouped.weight
        self.deep = nn.Conv2d(16, 32, 3, padding=1, groups=16)
        self.narrow = nn.LazyConv2d(16, 1)
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.again = self.grouped

    def forward(self, images):
        features = self.grouped(self.narrow(self.deep(self.stem(images))))
        return self.last(self.normed(self.widen(self.tied(features) + self.again(features))))


if __name__ == "__main__":
    [folder] = sys.argv[1:]
    from inmerge_ckpt.torch import describe
    from safetensors.torch import save_file, save_model
    from torchvision.models import resnet18

    save_file(resnet18().state_dict(), f"{folder}/resnet18.safetensors")
    net = OddNet(5).train()
    net.stem.eval()
    metadata = describe.metadata(net, torch.zeros(1, 3, 8, 8))
    assert net.training and net.last.training and not net.stem.training, "the modes are as they were"
    save_file({name: tensor.clone() for name, tensor in net.state_dict().items()}, f"{folder}/whole.safetensors")
    save_model(net, f"{folder}/once.safetensors", metadata=metadata)
