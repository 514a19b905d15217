"""torchvision's ResNet-18: made new, or from a checkpoint's shapes."""

import safetensors
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet18


def build(classes, channels):
    """A ResNet-18 with fresh weights. The stem is torchvision's own, made for large images: with a 3x3 one of stride 1
    and no pooling an epoch on 28x28 images takes ten times as long."""
    net = resnet18(num_classes=classes)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    return net


def from_checkpoint(path, classes=None):
    """The ResNet-18 whose weights lie in a safetensors file. Input channels and classes follow from their
    shapes; with `classes` given and another number in the file, the last layer starts anew."""
    try:
        tensors = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise SystemExit(f"{path} cannot be read as safetensors: {error}")
    try:
        channels, own = tensors["conv1.weight"].shape[1], tensors["fc.weight"].shape[0]
        net = build(classes or own, channels)
        if classes not in (None, own):
            tensors |= {name: value for name, value in net.state_dict().items() if name.startswith("fc.")}
        net.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise SystemExit(f"{path} does not hold a ResNet-18's weights: {str(error).splitlines()[0]}")
    return net
