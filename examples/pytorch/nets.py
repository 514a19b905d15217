"""The networks that can be fine-tuned, of zoo.py and of torchvision: made new, or from a file that pretrained.py has written."""

import safetensors
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet50, vgg16


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


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's SAME: an odd row or column is put below and on the right."""

    def __init__(self, channels, out, kernel, stride=1, groups=1):
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x):
        sides = []
        for extent in x.shape[:1:-1]:
            [stride], [kernel] = set(self.stride), set(self.kernel_size)
            pad = max((-(-extent // stride) - 1) * stride + kernel - extent, 0)
            sides += [pad // 2, pad - pad // 2]
        return super().forward(F.pad(x, sides))


def lite_norm(channels):
    """TensorFlow's epsilon, and PyTorch's momentum: with TensorFlow's 0.01, a short fine-tuning would keep ImageNet's statistics."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class LiteBlock(nn.Module):
    """An inverted bottleneck without squeeze and excitation."""

    def __init__(self, channels, out, kernel, stride, expand):
        super().__init__()
        wide = channels * expand
        if expand > 1:
            self._expand_conv, self._bn0 = SameConv2d(channels, wide, 1), lite_norm(wide)
        self.expands, self.skips = expand > 1, stride == 1 and channels == out
        self._depthwise_conv, self._bn1 = SameConv2d(wide, wide, kernel, stride, groups=wide), lite_norm(wide)
        self._project_conv, self._bn2 = SameConv2d(wide, out, 1), lite_norm(out)

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-lite0 under the names of the package's weights; its dropout of paths and of features is left out."""

    # Blocks, kernel, stride, widening, channels.
    STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))

    def __init__(self, classes):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv2d(3, 32, 3, 2), lite_norm(32)
        self._blocks, channels = nn.ModuleList(), 32
        for blocks, kernel, stride, expand, out in self.STAGES:
            for block in range(blocks):
                self._blocks.append(LiteBlock(channels, out, kernel, stride if block == 0 else 1, expand))
                channels = out
        self._conv_head, self._bn1 = SameConv2d(channels, 1280, 1), lite_norm(1280)
        self._fc = nn.Linear(1280, classes)

    def forward(self, images):
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


# Each with what its last layer's names begin with.
NETS = {
    "vgg16": (Vgg16, "classifier."),
    "resnet50-thin": (ThinResNet50, "fc."),
    "efficientnet-lite0": (EfficientNetLite0, "_fc."),
    "resnet50": (lambda classes: resnet50(num_classes=classes), "fc."),
}


def build(name, classes):
    """A network with fresh weights."""
    return NETS[name][0](classes)


def from_checkpoint(name, path, classes, fresh=False):
    """A network with a file's weights; its last layer starts anew where the file has none of this shape, or `fresh` says so."""
    try:
        tensors = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise SystemExit(f"{path} cannot be read as safetensors: {error}")
    net, head = build(name, classes), NETS[name][1]
    new = {key: value for key, value in net.state_dict().items() if key.startswith(head)}
    own = {key: value for key, value in tensors.items() if key.startswith(head)}
    if fresh or {key: value.shape for key, value in own.items()} != {key: value.shape for key, value in new.items()}:
        tensors = {key: value for key, value in tensors.items() if key not in own} | new
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise SystemExit(f"{path} does not hold the weights of {name}: {' '.join(str(error).split())}")
    return net
