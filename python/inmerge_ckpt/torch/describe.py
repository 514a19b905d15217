"""What a checkpoint does not say of its convolutions: in which order they run, their kinds and groups, and which names are one weight.

    python3 -m inmerge_ckpt.torch.describe torchvision.models:resnet18 1,3,224,224 --args 'num_classes=2' --out layers.json
    inmerge-ckpt merge IN OUT --layers layers.json

A training script saves it with the weights: `save_checkpoint(model, path, example_input=images)`.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import operator
import sys
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

Layer = dict[str, Any]

# Where a convolution keeps its kernels: plainly, or parametrised (pruning, weight and spectral norm).
WEIGHTS = ["weight", "weight_orig", "weight_v", "parametrizations.weight.original1", "parametrizations.weight.original"]


class Recorder:
    """Notes in which order a model's convolutions run, from now until `close`."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.ran: dict[_ConvNd, None] = {}
        # The convolution whose output is the network's own, untouched: classes or an image, and no features.
        self.head: _ConvNd | None = None
        self._last: tuple[_ConvNd, torch.Tensor, int] | None = None
        self.convolutions = [module for module in model.modules() if isinstance(module, _ConvNd)]
        self._hooks = [module.register_forward_hook(self._convolved) for module in self.convolutions]
        self._hooks.append(model.register_forward_hook(self._finished))

    def _convolved(self, module: _ConvNd, _: Any, output: torch.Tensor) -> None:
        self.ran.setdefault(module)
        self._last = module, output, output._version

    def _finished(self, module: nn.Module, _: Any, output: Any) -> None:
        if self._last is not None and self._last[1] is output and self._last[2] == output._version:
            self.head = self._last[0]

    def close(self) -> None:
        """Stops noting."""
        for hook in self._hooks:
            hook.remove()
        self._last = None

    def layers(self) -> list[Layer]:
        """The convolutions in the order in which they first ran; then those that did not run, as they are defined."""
        names: dict[Any, list[str]] = {}
        for name, tensor in self.model.state_dict().items():
            if isinstance(tensor, torch.Tensor) and not is_lazy(tensor) and tensor.is_floating_point():
                names.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), []).append(name)
        listed: list[Layer] = []
        copies: list[Layer] = []
        for module in self.ran | dict.fromkeys(self.convolutions):
            own = dict(module.named_parameters())
            weight = next((own[name] for name in WEIGHTS if name in own and not is_lazy(own[name])), None)
            # Without a name: it is not saved, or another convolution has the same weight.
            found = [] if weight is None else names.pop((weight.data_ptr(), weight.shape, weight.stride()), [])
            if weight is not None and found:
                name, *others = found
                kind = "pointwise" if all(extent == 1 for extent in weight.shape[2:]) else "conv"
                kind = "depthwise" if module.groups > 1 and weight.shape[1] == 1 else kind
                layer = {"name": name, "kind": "transposed" if module.transposed else kind, "groups": module.groups}
                head = self.head is not None and module is self.head and self.head.bias is not None
                listed.append(layer | ({"head": True} if head else {}))
                copies += [{"name": other, "copy_of": name} for other in others]
        return listed + copies


def layers(model: nn.Module, *inputs: Any, **named: Any) -> list[Layer]:
    """Runs a model once on these inputs, in evaluation mode, and lists its convolutions in the order in which they ran.

    Convolutions that do not run follow in the order of definition. The list is what `--layers`, `merge_` and the metadata
    `inmerge.layers` take.
    """
    modes = {module: module.training for module in model.modules()}
    recorder = Recorder(model)
    try:
        with torch.no_grad():
            model.eval()(*inputs, **named)
    finally:
        recorder.close()
        for module, training in modes.items():
            module.training = training
    return recorder.layers()


def metadata(model: nn.Module, *inputs: Any, **named: Any) -> dict[str, str]:
    """The same, as a safetensors file keeps it beside the weights."""
    return {"inmerge.layers": json.dumps(layers(model, *inputs, **named))}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write down in which order the convolutions of a PyTorch model run, and what they are.")
    parser.add_argument("model", metavar="MODULE:MODEL", help="the function or class that makes it, in a module that Python can import")
    parser.add_argument("shapes", metavar="SHAPE", nargs="*", default=["1,3,224,224"], help="the shape of each input [1,3,224,224]")
    parser.add_argument("--args", default="", help="what it is made with, as literals: 'num_classes=2'")
    parser.add_argument("--out", type=argparse.FileType("w"), default="-", help="the file to write [stdout]")
    args = parser.parse_args()
    sys.path.insert(0, "")
    module, _, name = args.model.partition(":")
    call = ast.parse(f"model({args.args})", mode="eval").body
    assert isinstance(call, ast.Call)
    keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
    model = operator.attrgetter(name)(importlib.import_module(module))(*map(ast.literal_eval, call.args), **keywords)
    inputs = [torch.rand([int(extent) for extent in shape.split(",")]) for shape in args.shapes]
    print("[\n" + ",\n".join(map(json.dumps, layers(model, *inputs))) + "\n]", file=args.out)


if __name__ == "__main__":
    main()
