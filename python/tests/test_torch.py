"""Merging networks that are in training: `inmerge_ckpt.torch`."""

import copy
import json
import math
import subprocess
import sys
import unittest
from pathlib import Path

from common import MERGING, Case, blended, digest, needs

from inmerge_ckpt import InmergeError, InmergeWarning, NothingMerged, UsageError, apply, inspect, merge


def trained(net=None, kind="AdamW"):
    import torch
    from trainers import network

    torch.manual_seed(0)
    net = network() if net is None else net
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3) if kind == "AdamW" else torch.optim.SGD(net.parameters(), 1e-2, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.randn(4, 3, 16, 16)).square().mean().backward()
        optimizer.step()
    return net, optimizer


def images():
    import torch

    return torch.zeros(1, 3, 16, 16)


def normed():
    """Convolutions whose norms have names that say nothing, or the wrong thing; the third one's output is changed before a norm reads it."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_a, self.conv_b = torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 16, 3, bias=False)
            self.first, self.second = torch.nn.BatchNorm2d(16), torch.nn.BatchNorm2d(16)
            self.third = torch.nn.Conv2d(16, 12, 1)
            self.add_module("1", torch.nn.Conv2d(12, 10, 3))
            self.add_module("2", torch.nn.BatchNorm2d(10))

        def forward(self, x):
            x = self.first(self.conv_b(self.second(self.conv_a(x))))
            return self.get_submodule("2")(self.get_submodule("1")(self.third(x).relu_())).mean()

    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        for module in net.children():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.add_(0.1 * torch.randn(module.weight.shape[1:]))
            else:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.normal_(1, 0.2)
                module.bias.normal_()
    return net


@needs("torch", "safetensors")
class Merge(Case):
    def setUp(self):
        super().setUp()
        import inmerge_ckpt.torch as package

        self.torch = package
        self.plan = self.folder / "plan.json"

    def planned(self):
        return {layer["name"]: layer for layer in json.loads(self.plan.read_text())["layers"]}

    def test_a_model_is_merged_as_its_file_is(self):
        from safetensors.torch import load_file

        net, _ = trained()
        self.torch.save_checkpoint(net, self.folder / "in.safetensors", images())
        merge(self.folder / "in.safetensors", self.folder / "out.safetensors", **MERGING, seed=4)
        parameters = [(id(value), value.data_ptr()) for value in net.parameters()]
        before = digest(net.state_dict())

        report = self.torch.merge_(net, layers=self.torch.layers(net, images()), **MERGING, seed=4)

        self.assertGreater(report.totals.merged, 10)
        self.assertNotEqual(digest(net.state_dict()), before)
        merged = load_file(self.folder / "out.safetensors")
        self.assertEqual(digest(net.state_dict()), digest({name: merged[name] for name in net.state_dict()}))
        self.assertEqual([(id(value), value.data_ptr()) for value in net.parameters()], parameters)

    def test_momentum_and_average_follow_the_plan(self):
        from torch.optim.swa_utils import AveragedModel

        for kind, key in (("AdamW", "exp_avg"), ("SGD", "momentum_buffer")):
            net, optimizer = trained(kind=kind)
            average = AveragedModel(net)
            average.update_parameters(trained()[0])
            weights = dict(net.named_parameters())
            states = {name: {key: value.clone() for key, value in optimizer.state[weight].items() if key != "step"} for name, weight in weights.items()}
            averaged = copy.deepcopy(average.module.state_dict())
            values = copy.deepcopy(net.state_dict())

            self.torch.merge_(net, optimizer=optimizer, ema=average, layers=self.torch.layers(net, images()), plan=self.plan, force=True, **MERGING)

            plan = self.planned()
            self.assertEqual(len(plan), 4)
            for name, weight in weights.items():
                expected = [values[name], states[name][key], averaged[name]]
                if name in plan:
                    self.assertGreater(len(plan[name]["merges"]), 0)
                    expected = [blended(value, plan[name]) for value in expected]
                found = [weight, optimizer.state[weight][key], average.module.state_dict()[name]]
                for a, b in zip(expected, found, strict=True):
                    self.assertTrue(a.equal(b.detach()), name)
                for other in states[name].keys() - {key}:
                    self.assertTrue(states[name][other].equal(optimizer.state[weight][other]))

    def test_without_an_optimizer_momentum_stays(self):
        net, optimizer = trained()
        before = digest(optimizer.state_dict())
        self.torch.merge_(net, layers=self.torch.layers(net, images()), **MERGING)
        self.assertEqual(digest(optimizer.state_dict()), before)

    def test_averages_of_all_sorts_are_found(self):
        import torch

        net, _ = trained()
        order = self.torch.layers(net, images())
        expected = copy.deepcopy(net)
        self.torch.merge_(expected, layers=order, **MERGING)
        expected = digest(expected.state_dict())
        averages = [
            copy.deepcopy(net), torch.nn.DataParallel(copy.deepcopy(net)), copy.deepcopy(net.state_dict()),
            {f"ema.{name}": value.clone() for name, value in net.state_dict().items()},
        ]
        for average in [*averages, lambda: averages[0]]:
            self.torch.merge_(copy.deepcopy(net), ema=average, layers=order, **MERGING)
        states = [averages[0].state_dict(), averages[1].module.state_dict(), averages[2]]
        # The first was merged twice, by the same plan.
        self.assertNotEqual(digest(states[0]), expected)
        self.assertEqual([digest(state) for state in states[1:]], [expected] * 2)
        self.assertEqual(digest({name.removeprefix("ema."): value for name, value in averages[3].items()}), expected)
        with self.assertRaisesRegex(InmergeError, "does not hold the model's weights"):
            self.torch.merge_(copy.deepcopy(net), ema={"x": torch.zeros(1)}, layers=order, **MERGING)

    def test_biases_and_norms_are_carried_along_as_in_a_file(self):
        import torch
        from safetensors.torch import load_file

        net = normed()
        average = copy.deepcopy(net)
        order = self.torch.layers(net, images())
        # Neither names nor lengths would say this of the two.
        self.assertEqual([layer["norm"] for layer in order], ["second", "first", "", "2"])
        flags = {**MERGING, "kinds": "conv,pointwise", "tau": 0.2, "prob": 1.0, "skip_shallow": 0, "carry": ["norm", "affine", "bias"]}
        self.torch.save_checkpoint(net, self.folder / "in.safetensors", images())
        done = merge(self.folder / "in.safetensors", self.folder / "out.safetensors", **flags)
        expected = digest(dict(sorted(load_file(self.folder / "out.safetensors").items())))
        before = {name: value.clone() for name, value in net.state_dict().items()}

        report = self.torch.merge_(net, ema=average, layers=order, **flags)

        self.assertEqual((report.carried, done.carried), (15, 15))
        self.assertEqual([digest(dict(sorted(state.state_dict().items()))) for state in (net, average)], [expected] * 2)
        changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
        self.assertEqual(changed, {name for name in before if "num_batches" not in name})

    def test_a_carried_mean_is_that_of_the_merged_channels(self):
        import torch

        net = normed().double()
        norms = {"conv_a": "second", "conv_b": "first"}
        batch = torch.randn(64, 3, 20, 20, dtype=torch.float64)

        def outputs():
            seen = {}
            hooks = [net.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out})) for name in norms]
            net.eval()(batch)
            for hook in hooks:
                hook.remove()
            return seen

        def statistics(values):
            return values.mean((0, 2, 3)), values.var((0, 2, 3), correction=0)

        with torch.no_grad():
            # The second reads what the first's norm gives, so one after the other.
            for name, norm in norms.items():
                mean, variance = statistics(outputs()[name])
                net.get_submodule(norm).running_mean.copy_(mean)
                net.get_submodule(norm).running_var.copy_(variance)
            order = self.torch.layers(net, batch[:1])
            for carry, agrees in (("norm", True), (None, False)):
                merged = copy.deepcopy(net)
                flags = {**MERGING, "tau": 0.2, "prob": 1.0, "skip_shallow": 0, "include": "conv_a.weight"}
                report = self.torch.merge_(merged, layers=order, **flags, **({"carry": carry} if carry else {}))
                self.assertGreater(report.totals.merged, 5)
                seen = {}
                hook = merged.conv_a.register_forward_hook(lambda _, __, out, seen=seen: seen.update(out=out))
                merged.eval()(batch)
                hook.remove()
                mean, variance = statistics(seen["out"])
                norm = merged.second
                self.assertEqual(torch.allclose(norm.running_mean, mean, atol=1e-12), agrees)
                # The inputs are uncorrelated and of one variance, up to their number.
                self.assertEqual(torch.allclose(norm.running_var, variance, rtol=0.03), agrees)

    def test_layouts_dtypes_and_kinds(self):
        import torch

        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 16, 3, groups=2), torch.nn.ConvTranspose2d(16, 16, 3), torch.nn.Conv2d(16, 16, 1), torch.nn.ReLU(),
        )
        with torch.no_grad():
            for module in net[:4]:
                module.weight.add_(0.2 * torch.randn(module.weight.shape[1:]))
        order = self.torch.layers(net, images())
        self.assertEqual([layer["kind"] for layer in order], ["conv", "conv", "transposed", "pointwise"])
        expected = copy.deepcopy(net)
        kinds = {"kinds": "conv,pointwise,transposed", "skip_shallow": 0, "tau": 0.2, "prob": 1.0}
        report = self.torch.merge_(expected, layers=order, **kinds)
        self.assertEqual([layer.merged > 0 for layer in report.layers], [True] * 4)
        last = copy.deepcopy(net).to(memory_format=torch.channels_last)
        self.torch.merge_(last, layers=order, **kinds)
        self.assertEqual(digest(last.state_dict()), digest(expected.state_dict()))
        self.assertTrue(last[1].weight.is_contiguous(memory_format=torch.channels_last))
        half = copy.deepcopy(net).bfloat16()
        self.torch.merge_(half, layers=order, **kinds)
        self.assertNotEqual(digest(half.state_dict()), digest(copy.deepcopy(net).bfloat16().state_dict()))
        parallel = torch.nn.DataParallel(copy.deepcopy(net))
        self.torch.merge_(parallel, layers=order, **kinds)
        self.assertEqual(digest(parallel.module.state_dict()), digest(expected.state_dict()))

    def test_tied_and_frozen_weights(self):
        net, optimizer = trained()
        net.body[2][0].weight = net.body[1][0].weight
        net.body[3][0].weight.requires_grad_(False)
        frozen = net.body[3][0].weight.clone()
        report = self.torch.merge_(net, optimizer=optimizer, layers=self.torch.layers(net, images()), plan=self.plan, **MERGING)
        self.assertIs(net.body[2][0].weight, net.body[1][0].weight)
        self.assertEqual([layer.name for layer in report.layers], ["body.0.0.weight", "body.1.0.weight"])
        self.assertTrue(frozen.equal(net.body[3][0].weight))
        self.assertGreater(report.layers[1].merged, 0)

    def test_frozen_and_parametrised_weights_of_all_sorts_are_left_alone(self):
        import torch

        from inmerge_ckpt.torch import merge_step_, selected_layers

        net, _ = trained()
        net.head[2].weight.requires_grad_(False)
        net.body[1][0].weight.requires_grad_(False)
        torch.nn.utils.parametrizations.weight_norm(net.body[3][0])
        order = self.torch.layers(net, images())
        before = copy.deepcopy(net.state_dict())
        with self.assertWarnsRegex(InmergeWarning, "part of a parametrised weight"):
            self.torch.merge_(net, layers=order, kinds="conv,linear", tau=-1, prob=1, skip_shallow=0)
        changed = [name for name, value in net.state_dict().items() if not value.equal(before[name])]
        self.assertEqual(changed, ["stem.0.weight", "body.0.0.weight", "body.2.0.weight"])
        with self.assertWarnsRegex(InmergeWarning, "part of a parametrised weight"):
            names = selected_layers(net, order, skip_shallow=0)
        self.assertEqual(names, changed)
        for name in ("body.3.0.weight", "body.9.0.weight"):
            with self.assertRaisesRegex(InmergeError, "no weight"):
                merge_step_(net, [name], tau=-1)
        with self.assertRaises(UsageError):
            merge_step_(net, "body.0.0.weight")

    def test_flags_are_taken_as_they_are_meant(self):
        net, _ = trained()
        order = self.torch.layers(net, images())
        for excluded in ("body.0.*", ["body.0.*"], {"body.0.*"}, (name for name in ["body.0.*"])):
            report = self.torch.merge_(copy.deepcopy(net), layers=order, exclude=excluded, plan=None, **MERGING)
            self.assertEqual(len(report.layers), 3)
        with self.assertRaisesRegex(UsageError, "merge_ takes no dry_run"):
            self.torch.merge_(net, dry_run=True)

    def test_a_compiled_or_wrapped_model_is_described_as_it_runs(self):
        import torch

        class Turned(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = torch.nn.Conv2d(8, 8, 1), torch.nn.Conv2d(3, 8, 1)

            def forward(self, pictures):
                return self.a(self.b(pictures)).relu()

        expected = ["b.weight", "a.weight"]
        net = Turned()
        net.compile(backend="eager")
        for model in (net, torch.compile(Turned(), backend="eager"), torch.nn.DataParallel(Turned())):
            with torch.no_grad():
                model(images())
            self.assertEqual([layer["name"] for layer in self.torch.layers(model, images())], expected)
        with torch.inference_mode():
            self.assertEqual([layer["name"] for layer in self.torch.layers(Turned(), images())], expected)
        meta = Turned().to("meta")
        self.assertEqual([layer["name"] for layer in self.torch.layers(meta, images().to("meta"))], expected)

    def test_what_cannot_be_merged_changes_nothing(self):
        import torch

        net, optimizer = trained()
        order = self.torch.layers(net, images())
        before = digest([net.state_dict(), optimizer.state_dict()])
        with self.assertRaisesRegex(UsageError, "--tau"):
            self.torch.merge_(net, layers=order, tau=3)
        with self.assertRaises(NothingMerged):
            self.torch.merge_(net, layers=order, tau=1, require_merges=True)
        with self.assertRaisesRegex(InmergeError, "average"):
            self.torch.merge_(net, ema=torch.nn.Linear(2, 2), layers=order, **MERGING)
        self.assertEqual(digest([net.state_dict(), optimizer.state_dict()]), before)
        with self.assertWarnsRegex(InmergeWarning, "RMSprop keeps no exp_avg or momentum_buffer"):
            other = torch.optim.RMSprop(net.parameters())
            net(torch.randn(4, 3, 16, 16)).sum().backward()
            other.step()
            self.torch.merge_(net, optimizer=other, layers=order, **MERGING)
        with self.assertWarnsRegex(InmergeWarning, "NOTHING MERGED") as warned:
            self.torch.merge_(net, layers=order, tau=1)
        self.assertEqual(warned.filename, __file__)
        with torch.no_grad():
            net.body[1][0].weight[3, 0, 0, 0] = math.nan
        before = digest([net.state_dict(), optimizer.state_dict()])
        with self.assertRaisesRegex(InmergeError, "body.1.0.weight"):
            self.torch.merge_(net, optimizer=optimizer, layers=order, **MERGING)
        self.assertEqual(digest([net.state_dict(), optimizer.state_dict()]), before)
        with torch.inference_mode():
            average = {name: value.clone() for name, value in net.state_dict().items()}
        with self.assertRaisesRegex(InmergeError, "inference mode"):
            self.torch.merge_(net, ema=average, layers=order, **MERGING)
        with self.assertRaisesRegex(InmergeError, "must be a model or a state dict"):
            self.torch.merge_(net, ema=lambda: None, layers=order, **MERGING)
        with self.assertRaisesRegex(InmergeError, "two optimizers keep exp_avg"):
            self.torch.merge_(net, optimizer=[optimizer, trained(net)[1]], layers=order, **MERGING)
        net.body[0][0].weight.ds_id = 1
        with self.assertRaisesRegex(InmergeError, "sharded"):
            self.torch.merge_(net, layers=order, **MERGING)

    def test_processes_end_with_the_weights_of_the_first(self):
        script = Path(__file__).with_name("ranks.py")
        done = subprocess.run([sys.executable, "-B", script, self.folder], capture_output=True, text=True, check=False, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        first, second = (json.loads((self.folder / f"{rank}.json").read_text()) for rank in (0, 1))
        self.assertEqual(first, second)
        self.assertEqual(len(set(first["digests"])), 3)


@needs("torch", "safetensors")
class Save(Case):
    def test_every_loader_reads_what_is_saved(self):
        import torch
        from safetensors.torch import load_file

        from inmerge_ckpt.torch import save_checkpoint

        net, _ = trained()
        net.body[2][0].weight = net.body[1][0].weight
        net = net.to(memory_format=torch.channels_last)
        path = self.folder / "last.safetensors"
        written = set()
        for _ in range(8):
            save_checkpoint(net, path, images(), metadata={"epoch": "3", "dataset": "Röntgen"})
            written.add(path.read_bytes())
        self.assertEqual(len(written), 1)
        self.assertEqual([file.name for file in self.folder.iterdir()], [path.name])
        loaded = load_file(path)
        self.assertEqual(list(net.state_dict()), [name for name in net.state_dict() if name in loaded])
        net.load_state_dict(loaded)
        found = inspect(path, skip_shallow=1)
        self.assertEqual(found.order_source, "metadata")
        self.assertEqual(found.metadata["epoch"], "3")
        named = {layer.name: layer.copies for layer in found.layers}
        self.assertEqual(named["body.1.0.weight"], ["body.2.0.weight"])
        # Inputs by name, and several.
        save_checkpoint(net, path, {"input": images()})
        save_checkpoint(net, path, (images(),))
        self.assertEqual(inspect(path).order_source, "metadata")
        save_checkpoint(net, path)
        self.assertNotIn("inmerge.layers", inspect(path).metadata)

    def test_a_link_and_the_permissions_of_a_file_stay(self):
        from inmerge_ckpt.torch import save_checkpoint

        net, _ = trained()
        file, link = self.folder / "epoch3.safetensors", self.folder / "last.safetensors"
        link.symlink_to(file.name)
        save_checkpoint(net, link)
        self.assertTrue(link.is_symlink())
        self.assertEqual(file.stat().st_mode & 0o600, 0o600)
        file.chmod(0o664)
        save_checkpoint(net, file)
        self.assertEqual(file.stat().st_mode & 0o777, 0o664)
        for wrong in (self.folder, self.folder / "nowhere/last.safetensors"):
            with self.assertRaisesRegex(InmergeError, "cannot be written"):
                save_checkpoint(net, wrong)

    def test_a_failed_save_leaves_the_old_file(self):
        from inmerge_ckpt.torch import save_checkpoint

        net, _ = trained()
        path = self.folder / "last.safetensors"
        save_checkpoint(net, path)
        before = path.read_bytes()
        with self.assertRaises(RuntimeError):
            save_checkpoint(net, path, images()[:, :2])
        net.to("meta")
        with self.assertRaises(Exception):  # noqa: B017 (whatever safetensors says of a tensor without data)
            save_checkpoint(net, path)
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual([file.name for file in self.folder.iterdir()], [path.name])

    def test_a_structure_that_names_hide_is_described(self):
        from odd_net import OddNet

        from inmerge_ckpt.torch import layers

        net = OddNet(5)
        order = [layer["name"] for layer in layers(net, images()[..., :8, :8]) if "copy_of" not in layer]
        self.assertEqual(order[:4], ["stem.weight", "deep.weight", "narrow.weight", "grouped.weight"])
        self.assertTrue(net.training)


@needs("torch", "safetensors")
class EveryStep(Case):
    def test_the_blend_is_the_program_s_bit_for_bit(self):
        import torch
        from safetensors.torch import load_file, save_file

        from inmerge_ckpt.torch import merge_step_

        for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            torch.manual_seed(1)
            conv = torch.nn.Conv2d(8, 32, 3).to(dtype)
            before = conv.weight.detach().clone()
            changed = merge_step_(torch.nn.ModuleDict({"conv": conv}), ["conv.weight"], tau=-1, prob=0.5, alpha=0.7)["conv.weight"]
            self.assertTrue(0 < int(changed.sum()) < 32)
            # Which partner each took is what gives its bits.
            partners = []
            for i in changed.nonzero().flatten().tolist():
                wide = before.double() if dtype is torch.float64 else before.float()
                fits = [j for j in range(32) if j != i and (0.7 * wide[i] + (1 - 0.7) * wide[j]).to(dtype).equal(conv.weight[i].detach())]
                self.assertEqual(len(fits), 1, (dtype, i))
                partners.append((i, fits[0]))
            save_file({"conv.weight": before}, self.folder / "in.safetensors")
            plan = self.folder / "plan.json"
            merge(self.folder / "in.safetensors", dry_run=True, plan=plan, tau=-1, prob=1, alpha=0.7, skip_shallow=0, force=True)
            content = json.loads(plan.read_text())
            content["layers"][0]["merges"] = [{"round": 0, "kernel": i, "partner": j} for i, j in partners]
            plan.write_text(json.dumps(content))
            apply(plan, self.folder / "in.safetensors", self.folder / "out.safetensors", force=True)
            self.assertTrue(load_file(self.folder / "out.safetensors")["conv.weight"].equal(conv.weight.detach()), dtype)

    def test_draws_follow_the_rule_within_five_sigma(self):
        import torch

        from inmerge_ckpt.torch import merge_step_

        n, steps, prob = 24, 4000, 0.3
        torch.manual_seed(2)
        start = torch.randn(n, 4, 1, 1) + 0.5
        flat = start.flatten(1)
        alike = torch.cosine_similarity(flat[:, None], flat[None], dim=2)
        tau = 0.3
        above = (alike > tau) & ~torch.eye(n, dtype=torch.bool)
        self.assertTrue(0.2 < above.float().mean() < 0.8)
        conv = torch.nn.Conv2d(4, n, 1, bias=False)
        net = torch.nn.ModuleDict({"conv": conv})
        taken = torch.zeros(n, n)
        for _ in range(steps):
            with torch.no_grad():
                conv.weight.copy_(start)
            changed = merge_step_(net, ["conv.weight"], tau=tau, prob=prob, alpha=0.0)["conv.weight"]
            # With alpha 0 a kernel becomes its partner.
            for i in changed.nonzero().flatten().tolist():
                taken[i, int((flat == conv.weight[i].detach().flatten()).all(1).nonzero())] += 1
        self.assertEqual(int(taken[~above].sum()), 0)
        p = prob / (n - 1)
        mean, sigma = steps * p, math.sqrt(steps * p * (1 - p))
        self.assertLess(float((taken[above] - mean).abs().max()) / sigma, 5)
        total, pairs = float(taken.sum()), int(above.sum())
        self.assertLess(abs(total - pairs * mean) / (sigma * math.sqrt(pairs)), 5)

    def test_only_kernels_of_one_group_are_partners(self):
        import torch

        from inmerge_ckpt.torch import merge_step_

        conv = torch.nn.Conv2d(8, 12, 1, groups=4, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.arange(12.0).view(12, 1, 1, 1).expand_as(conv.weight) + 1)
        merge_step_(torch.nn.ModuleDict({"conv": conv}), ["conv.weight"], tau=0.5, prob=1.0, alpha=0.0)
        groups = [int(value - 1) // 3 for value in conv.weight[:, 0, 0, 0].tolist()]
        self.assertEqual(groups, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
        lone = torch.nn.Conv2d(8, 4, 1, groups=4, bias=False)
        self.assertFalse(merge_step_(torch.nn.ModuleDict({"conv": lone}), ["conv.weight"], tau=-1, prob=1.0)["conv.weight"].any())

    def test_a_generator_makes_it_reproducible_and_leaves_pytorch_s_alone(self):
        import torch

        from inmerge_ckpt.torch import layers, merge_step_, selected_layers

        digests = []
        for seed in (7, 7, 8):
            net, _ = trained()
            names = selected_layers(net, layers(net, images()), skip_shallow=1)
            self.assertEqual(names, [f"body.{i}.0.weight" for i in range(4)])
            state = torch.get_rng_state()
            merge_step_(net, names, tau=0.0, prob=1.0, generator=torch.Generator().manual_seed(seed))
            self.assertTrue(torch.get_rng_state().equal(state))
            digests.append(digest(net.state_dict()))
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])
        with self.assertRaisesRegex(UsageError, "prob is 3"):
            merge_step_(net, names, prob=3)
        up = torch.nn.ModuleDict({"up": torch.nn.ConvTranspose2d(4, 4, 2)})
        with self.assertRaisesRegex(InmergeError, "transposed"):
            merge_step_(up, ["up.weight"])


@needs("torch", "safetensors")
class Recalibrate(Case):
    def test_statistics_are_those_of_the_batches(self):
        import torch

        from inmerge_ckpt.torch import recalibrate_

        net, _ = trained()
        batches = [torch.randn(8, 3, 16, 16) * 3 + 1 for _ in range(3)]
        net.body[1].eval()
        modes = [module.training for module in net.modules()]
        state = torch.get_rng_state()
        with torch.no_grad():
            first = torch.stack([net.stem[0](batch).mean((0, 2, 3)) for batch in batches]).mean(0)
        recalibrate_(net, batches)
        self.assertTrue(torch.allclose(net.stem[1].running_mean, first, atol=1e-5))
        self.assertEqual([module.training for module in net.modules()], modes)
        self.assertTrue(torch.get_rng_state().equal(state))
        expected = digest(net.state_dict())
        for other in ([(batch, 0) for batch in batches], [{"input": batch} for batch in batches], lambda: iter(batches)):
            net.stem[1].running_mean.zero_()
            recalibrate_(net, other)
            self.assertEqual(digest(net.state_dict()), expected)

    def test_a_failure_leaves_the_statistics(self):
        from inmerge_ckpt.torch import recalibrate_

        net, _ = trained()
        before = digest(net.state_dict())

        def fails():
            import torch

            yield torch.randn(4, 3, 16, 16)
            raise OSError("the disk is gone")

        with self.assertRaises(OSError):
            recalibrate_(net, fails)
        with self.assertRaisesRegex(InmergeError, "no batch"):
            recalibrate_(net, [])
        self.assertEqual(digest(net.state_dict()), before)
        self.assertEqual(net.stem[1].momentum, 0.1)


if __name__ == "__main__":
    unittest.main()
