"""The networks of zoo.py that can be fine-tuned: made new, or from a file that pretrained.py has written."""

import safetensors
from safetensors.torch import load_file
from torch import nn
from torchvision.models import vgg16


class Vgg16(nn.Module):
    """torchvision's VGG16 up to its last pooling, then the mean over all places and one linear layer.

    Five poolings leave one place of a 32x32 image; the original's three linear layers need 7x7, and hold nine tenths of its numbers.
    """

    def __init__(self, classes):
        super().__init__()
        self.features = vgg16(weights=None, init_weights=False).features
        self.classifier = nn.Linear(512, classes)

    def forward(self, images):
        return self.classifier(self.features(images).mean((2, 3)))


class ThinBlock(nn.Module):
    """A bottleneck block whose BatchNorms are folded into the convolutions, with the stride where Caffe's ResNet has it: in the first."""

    def __init__(self, channels, width, stride, shortcut):
        super().__init__()
        self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride)) if shortcut else None
        self.conv1 = nn.Conv2d(channels, width, 1, stride)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)

    def forward(self, x):
        # Before the others, as in the ONNX graph.
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(x).relu()
        x = self.conv2(x).relu()
        return (self.conv3(x) + shortcut).relu()


class ThinResNet50(nn.Module):
    """OpenNSFW's ResNet-50, of half the width behind its stem, under torchvision's names; without a norm, as these are folded."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        # Caffe's pooling: without padding, and the last window may stand out.
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = 64
        for stage, (blocks, width) in enumerate([(3, 32), (4, 64), (6, 128), (3, 256)], 1):
            stride = 1 if stage == 1 else 2
            layer = [ThinBlock(channels, width, stride, True)]
            channels = 4 * width
            layer += [ThinBlock(channels, width, 1, False) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*layer))
        self.fc = nn.Linear(channels, classes)

    def forward(self, images):
        x = self.pool(self.conv1(images).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


# Each with what its last layer's names begin with.
NETS = {"vgg16": (Vgg16, "classifier."), "resnet50-thin": (ThinResNet50, "fc.")}


def build(name, classes):
    """A network with fresh weights."""
    return NETS[name][0](classes)


def from_checkpoint(name, path, classes):
    """A network with a file's weights; its last layer starts anew where the file has none of this shape."""
    try:
        tensors = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise SystemExit(f"{path} cannot be read as safetensors: {error}")
    net, head = build(name, classes), NETS[name][1]
    fresh = {key: value for key, value in net.state_dict().items() if key.startswith(head)}
    own = {key: value for key, value in tensors.items() if key.startswith(head)}
    if {key: value.shape for key, value in own.items()} != {key: value.shape for key, value in fresh.items()}:
        tensors = {key: value for key, value in tensors.items() if key not in own} | fresh
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise SystemExit(f"{path} does not hold the weights of {name}: {' '.join(str(error).split())}")
    return net
