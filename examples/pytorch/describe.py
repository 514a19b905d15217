"""What a checkpoint does not say of its convolutions: in which order they run, their kinds and groups, and which names are one weight.

    python3 describe.py torchvision.models:resnet18 1,3,224,224 --args 'num_classes=2' --out layers.json
    inmerge-ckpt merge IN OUT --layers layers.json

A training script can save it with the weights instead: `save_file(state, path, metadata=describe.metadata(model, images))`.
"""

import argparse
import ast
import importlib
import json
import operator
import sys

import torch
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

# Where a convolution keeps its kernels: plainly, or parametrised (pruning, weight and spectral norm).
WEIGHTS = ["weight", "weight_orig", "weight_v", "parametrizations.weight.original1", "parametrizations.weight.original"]


def layers(model, *inputs):
    """The model's convolutions as they first run on these inputs; then those that do not run, as they are defined."""
    ran, last = {}, [None, None, 0]

    def note(module, _, output):
        ran.setdefault(module)
        last[:] = module, output, output._version

    modes = {module: module.training for module in model.modules()}
    convolutions = [module for module in modes if isinstance(module, _ConvNd)]
    hooks = [module.register_forward_hook(note) for module in convolutions]
    try:
        with torch.no_grad():
            result = model.eval()(*inputs)
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    # What the last convolution gives is the network's output, untouched: classes or an image, and no features.
    final = last[0] if last[1] is result and last[2] == result._version else None

    names = {}
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor) and not is_lazy(tensor) and tensor.is_floating_point():
            names.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), []).append(name)
    listed, copies = [], []
    for module in ran | dict.fromkeys(convolutions):
        own = dict(module.named_parameters())
        weight = next((own[name] for name in WEIGHTS if name in own and not is_lazy(own[name])), None)
        # None where it is not saved, or where another convolution has the same weight.
        name, *others = [None] if weight is None else names.pop((weight.data_ptr(), weight.shape, weight.stride()), [None])
        if name is not None:
            kind = "pointwise" if all(extent == 1 for extent in weight.shape[2:]) else "conv"
            kind = "depthwise" if module.groups > 1 and weight.shape[1] == 1 else kind
            layer = {"name": name, "kind": "transposed" if module.transposed else kind, "groups": module.groups}
            listed.append(layer | ({"head": True} if module is final and module.bias is not None else {}))
            copies += [{"name": other, "copy_of": name} for other in others]
    return listed + copies


def metadata(model, *inputs):
    """The same, as a safetensors file keeps it beside the weights."""
    return {"inmerge.layers": json.dumps(layers(model, *inputs))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write down in which order the convolutions of a PyTorch model run, and what they are.")
    parser.add_argument("model", metavar="MODULE:MODEL", help="the function or class that makes it, in a module that Python can import")
    parser.add_argument("shapes", metavar="SHAPE", nargs="*", default=["1,3,224,224"], help="the shape of each input [1,3,224,224]")
    parser.add_argument("--args", default="", help="what it is made with, as literals: 'num_classes=2'")
    parser.add_argument("--out", type=argparse.FileType("w"), default="-", help="the file to write [stdout]")
    args = parser.parse_args()
    sys.path.insert(0, "")
    module, _, name = args.model.partition(":")
    call = ast.parse(f"model({args.args})", mode="eval").body
    keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    model = operator.attrgetter(name)(importlib.import_module(module))(*map(ast.literal_eval, call.args), **keywords)
    inputs = [torch.rand([int(extent) for extent in shape.split(",")]) for shape in args.shapes]
    print("[\n" + ",\n".join(map(json.dumps, layers(model, *inputs))) + "\n]", file=args.out)
