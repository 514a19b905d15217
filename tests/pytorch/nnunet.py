"""A small nnU-Net, saved with its aliases and without, and loaded again once both files are merged.

`nnunet.py save FOLDER` writes aliased.safetensors and deduplicated.safetensors, and prints the names of the convolutions in the
order in which they run. `nnunet.py load FOLDER` loads aliased-merged.safetensors, checks that the network's weights are those of
deduplicated-merged.safetensors, and prints the names of those that merging has changed.
"""

import json
import sys
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from safetensors.torch import load_file, save_file

CONVOLUTIONS = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)


def network():
    torch.manual_seed(7)
    stages = 6
    return PlainConvUNet(
        1, stages, [6, 8, 10, 12, 14, 14], torch.nn.Conv2d, 3, [1] + [2] * (stages - 1), 2, 2, 2, conv_bias=True,
        norm_op=torch.nn.InstanceNorm2d, norm_op_kwargs={"affine": True}, nonlin=torch.nn.LeakyReLU,
    )


def own_names(net):
    """The name of each parameter as its module is called first, which PyTorch gives once: not those of its aliases."""
    return {name for name, _ in net.named_parameters()} | {name for name, _ in net.named_buffers()}


def save(folder):
    net = network()
    # Weights of a fresh net are hardly alike: half of each layer's kernels become another one with some noise.
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, CONVOLUTIONS):
                kernels = module.weight.transpose(0, 1) if isinstance(module, torch.nn.ConvTranspose2d) else module.weight
                half = len(kernels) // 2
                kernels[:half] = kernels[half:2 * half] + 0.5 * kernels[half:2 * half].std() * torch.randn_like(kernels[:half])
    order = []
    names = {module: name for name, module in net.named_modules()}
    for module, name in names.items():
        if isinstance(module, CONVOLUTIONS):
            module.register_forward_hook(lambda *_, name=name: order.append(f"{name}.weight"))
    net(torch.zeros(1, 1, 64, 64))
    state = net.state_dict()
    own = own_names(net)
    save_file({name: value.clone() for name, value in state.items()}, folder / "aliased.safetensors")
    save_file({name: value.clone() for name, value in state.items() if name in own}, folder / "deduplicated.safetensors")
    weights = {state[name].data_ptr() for name in order}
    aliases = sum(value.data_ptr() in weights for value in state.values()) - len(weights)
    print(json.dumps({"order": order, "copies": aliases}))


def load(folder):
    net = network()
    before, expected = load_file(folder / "deduplicated.safetensors"), load_file(folder / "deduplicated-merged.safetensors")
    net.load_state_dict(load_file(folder / "aliased-merged.safetensors"), strict=True)
    loaded = net.state_dict()
    for name in own_names(net):
        assert torch.equal(loaded[name], expected[name]), name
    print(json.dumps({"changed": [name for name in expected if not torch.equal(before[name], expected[name])]}))


{"save": save, "load": load}[sys.argv[1]](Path(sys.argv[2]))
