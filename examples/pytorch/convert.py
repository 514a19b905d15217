"""Weights of other formats as PyTorch has them: convolutions `[out, in / groups, …]`, linear layers `[out, in]`.

Each function takes a file's path and gives its tensors by name, and the names of the weights of convolutions and linear layers in the
order in which they run.
"""

import re

import torch

# Where torchvision's VGG16 has its convolutions; between them are ReLU and pooling. By block: 2, 2, 3, 3, 3.
VGG16 = [(0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)]


def state_dict(path):
    """A state dict of torch.save. Its modules were defined in the order in which they run."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return tensors, _layers(tensors)


def resnet_3d(path):
    """The same under the key `state_dict`, of a ResNet whose names came sorted: the order is that of its module's `forward`."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]

    def place(name):
        # The shortcut of a block runs before its convolutions 1, 2 and 3.
        stage, block, part = re.fullmatch(r"(?:layer(\d+)\.(\d+)\.)?(.*)", name).groups()
        return int(stage or 0), int(block or 0), part.replace("downsample", "")

    return tensors, sorted(_layers(tensors), key=place)


def thin_resnet50(path):
    """OpenNSFW's ONNX graph, under the names of torchvision's ResNet-50; with BatchNorm folded, each convolution has a bias."""
    graph, values = _onnx(path)
    parts = {"proj_shortcut": "downsample.0", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
    tensors = {}
    for node in graph.node:
        if node.op_type == "Conv":
            # Some nodes have lost their names, but none that of its output.
            stage, block, part = re.match(r"bn_(?:stage(\d)_block(\d)_|1/)(\w+)", node.output[0]).groups()
            name = f"layer{int(stage) + 1}.{block}.{parts[part]}" if stage else "conv1"
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = (values[value] for value in node.input[1:])
    tensors["fc.weight"] = values["fc_nsfw/MatMul/ReadVariableOp:0"].T.contiguous()
    tensors["fc.bias"] = values["fc_nsfw/BiasAdd/ReadVariableOp:0"]
    return tensors, _layers(tensors)


def keras_vgg16(path):
    """The VGG16 in HED's Keras weights, under torchvision's names, without HED's side outputs."""
    import h5py

    tensors = {}
    with h5py.File(path) as file:
        for block, places in enumerate(VGG16, 1):
            for index, place in enumerate(places):
                layer = file[f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"]
                # [height, width, in, out]
                tensors[f"features.{place}.weight"] = torch.from_numpy(layer["0"][()]).permute(3, 2, 0, 1).contiguous()
                tensors[f"features.{place}.bias"] = torch.from_numpy(layer["1"][()])
    return tensors, _layers(tensors)


def onnx_vgg16(path):
    """A VGG16 of tf2onnx under torchvision's names, and its classifier: four linear layers, `classifier.N`, of which the first two are
    followed by a BatchNorm of fixed statistics, that is a weight and a bias a channel.
    """
    graph, values = _onnx(path)
    places = iter(sum(VGG16, ()))
    tensors, classifier = {}, -1
    for node in graph.node:
        own = [values[value] for value in node.input if value in values]
        if node.op_type == "Conv":
            name = f"features.{next(places)}"
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = own
        elif node.op_type in ("MatMul", "Mul"):
            classifier += 1
            tensors[f"classifier.{classifier}.weight"] = own[0].T.contiguous() if own[0].ndim == 2 else own[0]
        elif node.op_type == "Add":
            tensors[f"classifier.{classifier}.bias"] = own[0]
        elif node.op_type == "Relu" and classifier >= 0:
            classifier += 1
    # The first linear layer reads [height, width, channels] where PyTorch flattens [channels, height, width].
    first = tensors["classifier.0.weight"]
    side = round((first.shape[1] / _channels(tensors)) ** 0.5)
    tensors["classifier.0.weight"] = first.reshape(len(first), side, side, -1).permute(0, 3, 1, 2).flatten(1).contiguous()
    return tensors, _layers(tensors)


def _channels(tensors):
    """The channels that the last convolution of a VGG16 gives."""
    return len(tensors[f"features.{VGG16[-1][-1]}.bias"])


def _layers(tensors):
    """The names of the weights of convolutions and linear layers, in the tensors' order."""
    return [name for name, value in tensors.items() if name.endswith(".weight") and value.ndim > 1]


def _onnx(path):
    """The graph of an ONNX file, and its weights by name. Its nodes are in an order in which they can run."""
    import onnx

    graph = onnx.load(path).graph
    # A copy: those of onnx cannot be written to.
    return graph, {value.name: torch.from_numpy(onnx.numpy_helper.to_array(value).copy()) for value in graph.initializer}
