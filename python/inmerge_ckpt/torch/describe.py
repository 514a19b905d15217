"""What a checkpoint does not say of its convolutions: in which order they run, their kinds and groups, and which names are one weight.

    python3 -m inmerge_ckpt.torch.describe torchvision.models:resnet18 1,3,224,224 --args 'num_classes=2' --out layers.json
    inmerge-ckpt merge IN OUT --layers layers.json

A training script saves it with the weights: `save_checkpoint(model, path, example_input=images)`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import operator
import sys
import weakref
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
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
        # The BatchNorm that reads a convolution's output, untouched; of several none.
        self.norms: dict[_ConvNd, set[str]] = {}
        # Outputs that are still in use: a later tensor may get the number of one that is not.
        self._outputs: dict[int, tuple[weakref.ref[torch.Tensor], _ConvNd, int]] = {}
        self.convolutions = [module for module in model.modules() if isinstance(module, _ConvNd)]
        self._hooks = [module.register_forward_hook(self._convolved) for module in self.convolutions]
        norms = {module: name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and module.running_var is not None}
        self.has_norms = bool(norms)
        self._hooks += [norm.register_forward_pre_hook(partial(self._normed, name)) for norm, name in norms.items()]
        self._hooks.append(model.register_forward_hook(self._finished))

    def _convolved(self, module: _ConvNd, _: Any, output: torch.Tensor) -> None:
        # In a compiled step this would be part of the graph, which would be compiled anew for each convolution.
        if _is_compiling():
            return
        self.ran.setdefault(module)
        self._last = module, output, _version(output)
        if self.has_norms:
            self._outputs[id(output)] = weakref.ref(output), module, _version(output)

    def _normed(self, name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if _is_compiling() or not inputs or id(inputs[0]) not in self._outputs:
            return
        output, module, version = self._outputs[id(inputs[0])]
        read = output()
        if read is not None and read is inputs[0] and version == _version(read):
            self.norms.setdefault(module, set()).add(name)

    def _finished(self, module: nn.Module, _: Any, output: Any) -> None:
        if _is_compiling():
            return
        if self._last is not None and self._last[1] is output and self._last[2] == _version(output):
            self.head = self._last[0]
        self._outputs.clear()

    def close(self) -> None:
        """Stops noting."""
        for hook in self._hooks:
            hook.remove()
        self._last = None
        self._outputs.clear()

    def layers(self) -> list[Layer]:
        """The convolutions in the order in which they first ran; then those that did not run, as they are defined."""
        names: dict[Any, list[str]] = {}
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            if isinstance(tensor, torch.Tensor) and not is_lazy(tensor) and tensor.is_floating_point():
                names.setdefault(_identity(tensor), []).append(name)
        listed: list[Layer] = []
        copies: list[Layer] = []
        for module in self.ran | dict.fromkeys(self.convolutions):
            own = dict(module.named_parameters())
            weight = next((own[name] for name in WEIGHTS if name in own and not is_lazy(own[name])), None)
            # Without a name: it is not saved, or another convolution has the same weight.
            found = [] if weight is None else names.pop(_identity(weight), [])
            if weight is not None and found:
                name, *others = found
                kind = "pointwise" if all(extent == 1 for extent in weight.shape[2:]) else "conv"
                kind = "depthwise" if module.groups > 1 and weight.shape[1] == 1 else kind
                layer = {"name": name, "kind": "transposed" if module.transposed else kind, "groups": module.groups}
                head = self.head is not None and module is self.head and self.head.bias is not None
                norms = self.norms.get(module, set())
                # Where it ran and no BatchNorm read its output, there is none.
                norm = next(iter(norms)) if len(norms) == 1 else ""
                says = self.has_norms and module in self.ran
                listed.append(layer | ({"head": True} if head else {}) | ({"norm": norm} if says else {}))
                copies += [{"name": other, "copy_of": name} for other in others]
        return listed + copies


def _is_compiling() -> bool:
    compiling = getattr(torch.compiler, "is_compiling", None)
    return bool(compiling and compiling())


def _version(tensor: torch.Tensor) -> int:
    """How many times it was changed in place; tensors of the inference mode do not count that."""
    return 0 if tensor.is_inference() else tensor._version


def _identity(tensor: torch.Tensor) -> Any:
    """What two names of one weight have in common."""
    return id(tensor) if tensor.is_meta else (tensor.data_ptr(), tensor.shape, tensor.stride())


def unwrapped(model: nn.Module) -> nn.Module:
    """The network in what `DistributedDataParallel`, `DataParallel` and `torch.compile` put around it."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inner = model.module if isinstance(model, parallel) else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def is_compiled(model: nn.Module) -> bool:
    """Whether it or a part of it is compiled: what is compiled ignores that somebody looks on."""
    return any(hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) for module in model.modules())


def layers(model: nn.Module, *inputs: Any, **named: Any) -> list[Layer]:
    """Runs a model once on these inputs, in evaluation mode, and lists its convolutions in the order in which they ran.

    Convolutions that do not run follow in the order of definition. The list is what `--layers`, `merge_` and the metadata
    `inmerge.layers` take. Raises ValueError where the model has convolutions and none runs.
    """
    net = unwrapped(model)
    modes = {module: module.training for module in net.modules()}
    recorder = Recorder(net)
    # A compiled graph would run past the recorder.
    stance = getattr(torch.compiler, "set_stance", None)
    eager = stance("force_eager") if stance else contextlib.nullcontext()
    try:
        with torch.no_grad(), eager:
            net.eval()(*inputs, **named)
    finally:
        recorder.close()
        for module, training in modes.items():
            module.training = training
    if recorder.convolutions and not recorder.ran:
        raise ValueError("none of the model's convolutions was seen to run on these inputs; describe the model before it is compiled")
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
