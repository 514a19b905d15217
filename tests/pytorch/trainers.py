"""Checkpoints as trainers write them, and what becomes of them once they are merged.

`trainers.py save TRAINER FOLDER` trains a small network for a step or an epoch and has TRAINER save it: prints the file and the
file with its weights as safetensors. `trainers.py check FILE MERGED TWIN` checks that PyTorch reads MERGED in every way, that its
weights are those of TWIN, and that nothing else in it differs from FILE. `trainers.py resume TRAINER FILE MERGED` has TRAINER go
on from MERGED. `trainers.py momentum TRAINER FILE MERGED PLAN` checks that the optimizer's momentum was merged by PLAN.
"""

import json
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

warnings.filterwarnings("ignore")


def network():
    torch.manual_seed(3)
    net = nn.Sequential(OrderedDict(
        stem=nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        body=nn.Sequential(*[nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(4)]),
        head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))))
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight[::2] = module.weight[1::2] + 0.2 * module.weight[::2]
    return net


def trained(net):
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    net(torch.randn(4, 3, 16, 16, dtype=next(net.parameters()).dtype)).square().mean().backward()
    optimizer.step()
    return optimizer


def data():
    torch.manual_seed(1)
    return torch.utils.data.TensorDataset(torch.randn(8, 3, 16, 16), torch.randint(0, 2, (8,)))


def plain(folder):
    net = network()
    trained(net)
    torch.save(net.state_dict(), folder / "last.pt")
    return folder / "last.pt", net


def nested(folder):
    """As nnU-Net has it: weights, optimizer, scaler and a log."""
    net = network()
    optimizer = trained(net)
    torch.save({"network_weights": net.state_dict(), "optimizer_state": optimizer.state_dict(), "grad_scaler_state": {"scale": 65536.0},
                "logging": {"mean_fg_dice": [0.1, 0.2], "epoch_start_timestamps": [1.0]}, "current_epoch": 1,
                "init_args": {"plans": {"a": (1, 2)}, "fold": 0}}, folder / "checkpoint_final.pth")
    return folder / "checkpoint_final.pth", net


def half(folder):
    net = network().to(torch.bfloat16)
    trained(net)
    net.body.half()
    net.stem.double()
    torch.save({"model": net.state_dict()}, folder / "half.pt")
    return folder / "half.pt", net


def groups(folder):
    """As timm has it: what has no weight decay first, in channels_last, by SGD."""
    net = network().to(memory_format=torch.channels_last)
    small = [value for value in net.parameters() if value.ndim < 2]
    large = [value for value in net.parameters() if value.ndim >= 2]
    optimizer = torch.optim.SGD([{"params": small, "weight_decay": 0.0}, {"params": large}], 1e-2, momentum=0.9)
    net(torch.randn(4, 3, 16, 16)).square().mean().backward()
    optimizer.step()
    torch.save({"epoch": 1, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pth.tar")
    return folder / "last.pth.tar", net


def named(folder):
    """The parameters in another order than that of definition, and named."""
    net = network()
    optimizer = torch.optim.AdamW(reversed(list(net.named_parameters())), 1e-3)
    net(torch.randn(4, 3, 16, 16)).square().mean().backward()
    optimizer.step()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, folder / "named.pt")
    return folder / "named.pt", net


def channels_last(folder):
    net = network().to(memory_format=torch.channels_last)
    optimizer = trained(net)
    torch.save({"state_dict": net.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pt")
    return folder / "last.pt", net


def tied(folder):
    net = network()
    net.body[2][0].weight = net.body[1][0].weight
    trained(net)
    torch.save(net.state_dict(), folder / "tied.pt")
    return folder / "tied.pt", net


def odd(folder):
    """A hundred tensors more: scalars, none at all, views, integers, and one that is not contiguous."""
    net = network()
    state = net.state_dict()
    base = torch.arange(100.0)
    for i in range(98):
        state[f"extra.{i}"] = [torch.tensor(i), torch.zeros(0, 3), base[i:i + 2], torch.ones(3, dtype=torch.int8)][i % 4]
    state["extra.turned"] = torch.arange(6.0).reshape(2, 3).T
    state["extra.sliced"] = torch.arange(24.0).reshape(2, 3, 4)[:, :, ::2]
    torch.save(state, folder / "odd.pt")
    return folder / "odd.pt", net


def strange(folder):
    """Kinds of tensors that are not read, one of which runs among the convolutions, and values that are turned as they are read."""
    net = network()
    state = net.state_dict()
    state["body.9.weight"] = torch.quantize_per_tensor(torch.randn(16, 16, 3, 3), 0.1, 0, torch.qint8)
    state["sparse"] = torch.eye(3).to_sparse()
    state["negated"] = torch._neg_view(torch.ones(3))
    state["complex"] = torch.randn(4, dtype=torch.complex64).conj()
    state["wide"] = torch.randn(4, dtype=torch.complex128)
    state["buffer"] = nn.Buffer(torch.arange(3.0))
    torch.save({"model": state}, folder / "strange.pt")
    return folder / "strange.pt", net


def no_checksums(folder):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        return plain(folder)
    finally:
        torch.serialization.set_crc32_options(before)


def timm(folder):
    from timm.utils import CheckpointSaver, ModelEmaV2
    net = network()
    optimizer = trained(net)
    ema = ModelEmaV2(net, decay=0.5)
    saver = CheckpointSaver(net, optimizer, model_ema=ema, checkpoint_dir=str(folder), recovery_dir=str(folder))
    saver.save_checkpoint(epoch=1, metric=0.5)
    return folder / "last.pth.tar", net


def lightning_module():
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()
            self.save_hyperparameters({"lr": 1e-3, "where": Path("data")})

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), 1e-3)

    return Module()


def lightning_trainer(folder, epochs):
    import lightning
    import logging
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return lightning.Trainer(max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
                             enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder)


def lightning(folder):
    module, trainer = lightning_module(), lightning_trainer(folder, 1)
    trainer.fit(module, torch.utils.data.DataLoader(data(), 4))
    trainer.save_checkpoint(folder / "epoch=0.ckpt")
    return folder / "epoch=0.ckpt", module


def ignite(folder):
    from ignite.engine import Engine, Events
    from ignite.handlers import Checkpoint, DiskSaver
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), 1e-2, momentum=0.9)

    def step(_, batch):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(batch[0]), batch[1]).backward()
        optimizer.step()

    engine = Engine(step)
    engine.add_event_handler(Events.EPOCH_COMPLETED, Checkpoint({"net": net, "optimizer": optimizer, "trainer": engine},
                                                                DiskSaver(folder, require_empty=False)))
    engine.run(torch.utils.data.DataLoader(data(), 4), max_epochs=1)
    return next(folder.glob("checkpoint_*.pt")), net


def save(trainer, folder):
    folder = Path(folder)
    file, net = globals()[trainer](folder)
    twin = folder / "twin.safetensors"
    save_file({name: value.clone().contiguous() for name, value in net.state_dict().items()}, twin)
    print(json.dumps({"file": str(file), "twin": str(twin)}))


def optimizer_state(value):
    if isinstance(value, dict) and {"state", "param_groups"} <= set(value):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for item in inner if (found := optimizer_state(item)) is not None), None)


def momentum(trainer, file, merged, plan):
    """Checks that the momentum of the plan's kernels was blended as they were, and that of all others is as before."""
    before, after = (torch.load(path, weights_only=False) for path in (file, merged))
    old, new = optimizer_state(before), optimizer_state(after)
    names = [name for name, _ in network().named_parameters()]
    prefix = "net." if trainer == "lightning" else ""
    if trainer == "groups":
        shapes = dict(network().named_parameters())
        names.sort(key=lambda name: shapes[name].ndim >= 2)
    if trainer == "named":
        names.reverse()
    plan = json.loads(Path(plan).read_text())
    changed = []
    for layer in plan["layers"]:
        state = old["state"][names.index(layer["name"].removeprefix(prefix))]
        key = next(key for key in ("exp_avg", "momentum_buffer") if key in state)
        kernels, alpha = state[key].clone(), torch.tensor(layer["alpha"], dtype=torch.float32)
        for merge in layer["merges"]:
            rest = torch.tensor(1 - layer["alpha"], dtype=torch.float32)
            kernels[merge["kernel"]] = alpha * state[key][merge["kernel"]] + rest * state[key][merge["partner"]]
        if layer["merges"]:
            assert not torch.equal(state[key], kernels)
            changed.append(layer["name"])
        state[key] = kernels
    same(old, new, None)
    print(json.dumps({"changed": changed}))


def state_dict(value, names):
    """The mapping that holds all these names."""
    if not isinstance(value, dict):
        return None
    if names <= set(value):
        return value
    return next((found for inner in value.values() if (found := state_dict(inner, names)) is not None), None)


def same(a, b, skipped, path=""):
    """Fails unless two values are the same, but for the mapping that is skipped."""
    if a is skipped:
        return
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape and (a.is_sparse or a.stride() == b.stride()), path
        assert torch.equal(a.to_dense(), b.to_dense()) if a.is_sparse else torch.equal(a, b), path
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            same(a[key], b[key], skipped, f"{path}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, skipped, f"{path}.{i}")
    elif hasattr(a, "__dict__"):
        same(vars(a), vars(b), skipped, path)
    else:
        assert a == b, path


def check(file, merged, twin):
    expected = load_file(twin)
    for options in ({}, {"mmap": True}, {"mmap": True, "weights_only": False}, {"weights_only": False}):
        try:
            before = torch.load(file, **options)
        except Exception:
            # What the file keeps beside weights asks for weights_only=False.
            assert options.get("weights_only") is not False
            continue
        after = torch.load(merged, **options)
        own, old = state_dict(after, set(expected)), state_dict(before, set(expected))
        same(before, after, old)
        assert list(own) == list(old)
        for name, value in own.items():
            if name not in expected:
                same(old[name], value, None, name)
            else:
                assert value.stride() == old[name].stride() and torch.equal(value, expected[name]), name
    changed = [name for name in expected if not torch.equal(expected[name], old[name])]
    print(json.dumps({"changed": changed}))


def resume(trainer, file, merged):
    before = torch.load(file, weights_only=False)
    if trainer == "lightning":
        module, runner = lightning_module(), lightning_trainer(Path(merged).parent, 2)
        seen = {}

        def start(*_):
            seen["net"] = {name: value.clone() for name, value in module.state_dict().items()}
            seen["optimizer"] = [value["exp_avg"].clone() for value in runner.optimizers[0].state_dict()["state"].values()]
            seen["epoch"] = runner.current_epoch

        module.on_train_epoch_start = start
        runner.fit(module, torch.utils.data.DataLoader(data(), 4), ckpt_path=merged, weights_only=False)
        state, moments = before["state_dict"], before["optimizer_states"][0]["state"]
        assert runner.current_epoch == 2 and seen["epoch"] == 1, seen["epoch"]
        assert all(torch.equal(a, b["exp_avg"]) for a, b in zip(seen["optimizer"], moments.values()))
        merged_state = torch.load(merged, weights_only=False)["state_dict"]
        assert all(torch.equal(seen["net"][name], value) for name, value in merged_state.items())
        print(json.dumps({"changed": [name for name in state if not torch.equal(state[name], seen["net"][name])]}))
    else:
        from ignite.handlers import Checkpoint
        net = network()
        optimizer = torch.optim.SGD(net.parameters(), 1e-2, momentum=0.9)
        Checkpoint.load_objects({"net": net, "optimizer": optimizer}, torch.load(merged, weights_only=False))
        moments = before["optimizer"]["state"]
        assert all(torch.equal(optimizer.state_dict()["state"][key]["momentum_buffer"], value["momentum_buffer"]) for key, value in moments.items())
        print(json.dumps({"changed": [name for name, value in net.state_dict().items() if not torch.equal(value, before["net"][name])]}))


if __name__ == "__main__":
    {"save": save, "check": check, "momentum": momentum, "resume": resume}[sys.argv[1]](*sys.argv[2:])
