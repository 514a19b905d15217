"""The study of merging against its controls (examples/pytorch/compare.py, reports/study), on small data that these tests make."""

import contextlib
import io
import json
import operator
import os
import re
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from unittest import mock

from common import FIXTURES, Case, digest, needs

EXAMPLES, REPORT = FIXTURES.parent / "examples/pytorch", FIXTURES.parent / "reports/study"
# Last, as its modules have names that others may have too.
sys.path.append(str(EXAMPLES))

NEEDED = ["numpy", "safetensors", "torch", "torchvision"]


@needs(*NEEDED)
class Numbers(Case):
    """Scores, corruptions and data."""

    def test_calibration_error_by_hand(self):
        import score
        import torch

        # Bins of 1/15: 0.9 and 0.92 share (13/15, 14/15], one of two right; 0.6 is alone, and right; 2/3 belongs to the bin that it ends.
        probabilities = torch.tensor([[0.9, 0.1], [0.08, 0.92], [0.4, 0.6], [2 / 3, 1 / 3]], dtype=torch.float64)
        labels = torch.tensor([0, 0, 1, 0])
        by_hand = (abs(1 - 0.9 - 0.92) + abs(1 - 0.6) + abs(1 - 2 / 3)) / 4
        self.assertAlmostEqual(score.calibration_error(probabilities, labels), by_hand, places=12)
        found = score.scores(probabilities.log(), labels)
        self.assertEqual(found.keys(), {"auroc", "accuracy", "ece", "loss"})
        self.assertAlmostEqual(found["ece"], by_hand, places=12)
        self.assertEqual(found["accuracy"], 0.75)
        self.assertEqual(score.calibration_error(torch.eye(2, dtype=torch.float64), torch.tensor([0, 1])), 0)

    def test_corruptions_are_the_same_each_time_and_do_what_they_say(self):
        import corruptions
        import torch

        generator = torch.Generator().manual_seed(1)
        images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8, generator=generator)
        given = images.clone()
        self.assertEqual(len(corruptions.NAMES), 8)
        made = {}
        for name in corruptions.NAMES:
            torch.manual_seed(len(made))
            made[name] = corruptions.corrupted(images, name)
            self.assertTrue(torch.equal(made[name], corruptions.corrupted(images, name)))
            self.assertEqual(made[name].shape, images.shape)
            self.assertTrue(0 <= made[name].min() and made[name].max() <= 255)
        self.assertTrue(torch.equal(images, given))
        change = {name: (value - images.float()).square().mean().item() for name, value in made.items()}
        for kind in corruptions.CORRUPTIONS:
            self.assertLess(0, change[f"{kind}1"])
            self.assertLess(change[f"{kind}1"], change[f"{kind}2"])
        even = torch.full((1, 3, 28, 28), 100)
        for name, expected in {"blur2": 100, "contrast1": 100, "brightness1": 130, "brightness2": 160}.items():
            self.assertTrue(torch.allclose(corruptions.corrupted(even, name), torch.tensor(float(expected)), atol=1e-3), name)
        noise = corruptions.corrupted(torch.full((50, 1, 28, 28), 128), "noise1") - 128
        self.assertAlmostEqual(noise.std().item(), 15, delta=0.3)
        point = torch.zeros(1, 1, 28, 28)
        point[0, 0, 14, 14] = 255
        spot = corruptions.corrupted(point, "blur1")[0, 0]
        self.assertAlmostEqual(spot.sum().item(), 255, delta=0.1)
        self.assertTrue(torch.allclose(spot, spot.T, atol=1e-4))

    def test_labels_are_flipped_and_images_drawn_by_the_seed(self):
        import numpy as np
        import settings

        labels = np.array([0] * 30 + [1] * 10 + [2] * 11)
        wrong = settings.flip(labels, 3, 0.2, np.random.default_rng(0))
        self.assertEqual((wrong != labels).sum(), 10)
        self.assertTrue(set(wrong) <= {0, 1, 2})
        self.assertTrue((wrong == settings.flip(labels, 3, 0.2, np.random.default_rng(0))).all())
        self.assertFalse((wrong == settings.flip(labels, 3, 0.2, np.random.default_rng(1))).all())
        kept = settings.subset(labels, 0.1, np.random.default_rng(0))
        self.assertEqual([int((labels[kept] == c).sum()) for c in range(3)], [3, 1, 2])
        self.assertEqual(sorted(set(kept)), list(kept))
        self.assertEqual(list(settings.subset(labels, 1, np.random.default_rng(0))), list(range(len(labels))))


@needs(*NEEDED)
class Arms(Case):
    """What is done to the kernels."""

    def setUp(self):
        super().setUp()
        import arms
        import nets
        import torch

        from inmerge_ckpt.torch import layers, selected_layers

        self.arms, self.torch = arms, torch
        torch.manual_seed(0)
        self.net = nets.build("resnet50-thin", 2)
        self.order = layers(self.net, torch.zeros(1, 3, 32, 32))
        self.selected = lambda net: selected_layers(net, layers(net, torch.zeros(1, 3, 32, 32)))
        self.weights = {name: value.detach().clone() for name, value in self.net.named_parameters()}
        self.plan = self.folder / "plan.json"

    def planned(self):
        """The layers of the plan with merges, of the merge that every arm of 20 % does or looks at."""
        import copy

        from inmerge_ckpt.torch import merge_

        merge_(copy.deepcopy(self.net), layers=self.order, tau="20%", seed=7, plan=self.plan)
        return [layer for layer in json.loads(self.plan.read_text())["layers"] if layer["merges"]]

    def done(self, control, anywhere=False):
        """The net's weights after an arm of 20 % with this control, and the Change."""
        with self.torch.no_grad():
            for name, value in self.net.named_parameters():
                value.copy_(self.weights[name])
        change = self.arms.merge_between(self.net, self.order, self.arms.Arm("20%", control, anywhere), 7)
        return {name: value.detach().clone() for name, value in self.net.named_parameters()}, change

    def kernels(self, layer, state):
        """Those of a layer that merge, as float64 rows."""
        return state[layer["name"]].flatten(1).double()[[merge["kernel"] for merge in layer["merges"]]]

    def test_the_blend_is_that_of_the_program(self):
        by_program, change = self.done(None)
        by_torch, same = self.done(self.arms.similar)
        self.assertNotEqual(digest(by_program), digest(self.weights))
        self.assertGreater(change.kernels, 100)
        self.assertEqual(change.kernels, same.kernels)
        self.assertAlmostEqual(change.moved, same.moved, places=6)
        for name, value in by_program.items():
            self.torch.testing.assert_close(by_torch[name], value, rtol=1e-6, atol=1e-7)

    def test_controls_change_the_kernels_that_would_merge_and_no_others(self):
        planned = self.planned()
        for control in (self.arms.random, self.arms.matched, self.arms.shrink):
            after, change = self.done(control)
            self.assertEqual(change.kernels, sum(len(layer["merges"]) for layer in planned))
            named = {layer["name"]: {merge["kernel"] for merge in layer["merges"]} for layer in planned}
            for name, value in after.items():
                changed = (value != self.weights[name]).reshape(len(value), -1).any(1).nonzero().flatten().tolist()
                self.assertEqual(set(changed), named.get(name, set()), (control.__name__, name))

    def test_matched_moves_each_kernel_as_far_as_merging_and_elsewhere(self):
        planned = self.planned()
        merged, merging = self.done(None)
        matched, change = self.done(self.arms.matched)
        self.assertAlmostEqual(change.moved, merging.moved, places=5)
        elsewhere = []
        for layer in planned:
            own = self.kernels(layer, self.weights)
            far, as_far = (self.kernels(layer, state) - own for state in (merged, matched))
            self.torch.testing.assert_close(as_far.norm(dim=1), far.norm(dim=1), rtol=1e-4, atol=1e-6)
            elsewhere.append(self.torch.cosine_similarity(far, as_far) < 0.999)
        # Towards another kernel: a few of many may happen to get the same.
        self.assertGreater(self.torch.cat(elsewhere).double().mean().item(), 0.9)

    def test_random_blends_with_another_kernel_of_the_layer(self):
        planned = self.planned()
        after, _ = self.done(self.arms.random)
        for layer in planned:
            everyone = self.weights[layer["name"]].flatten(1).double()
            other = (self.kernels(layer, after) - 0.8 * self.kernels(layer, self.weights)) / 0.2
            far, nearest = self.torch.cdist(other, everyone).min(1)
            self.assertLess(far.max().item(), 1e-4)
            self.assertFalse(any(int(place) == merge["kernel"] for place, merge in zip(nearest, layer["merges"])))

    def test_anywhere_blends_as_many_kernels_of_each_layer_whichever_they_are(self):
        planned = self.planned()
        after, change = self.done(self.arms.random, anywhere=True)
        again, _ = self.done(self.arms.random, anywhere=True)
        self.assertEqual(digest(after), digest(again))
        self.assertEqual(change.kernels, sum(len(layer["merges"]) for layer in planned))
        counts, as_planned = {layer["name"]: len(layer["merges"]) for layer in planned}, 0
        for name, value in after.items():
            own, everyone = value.flatten(1).double() if value.ndim > 1 else value[:, None].double(), self.weights[name]
            changed = (value != everyone).reshape(len(value), -1).any(1).nonzero().flatten()
            self.assertEqual(len(changed), counts.get(name, 0), name)
            if name in counts:
                everyone = everyone.flatten(1).double()
                other = (own[changed] - 0.8 * everyone[changed]) / 0.2
                self.assertLess(self.torch.cdist(other, everyone).min(1)[0].max().item(), 1e-4)
                [layer] = [layer for layer in planned if layer["name"] == name]
                as_planned += len({merge["kernel"] for merge in layer["merges"]} & set(changed.tolist()))
        # A few per cent of the kernels merge, and chance hits no more of them.
        self.assertLess(as_planned, 0.2 * change.kernels)

    def test_shrink_gives_the_merged_norm_in_the_own_direction(self):
        planned = self.planned()
        merged, _ = self.done(None)
        shrunk, _ = self.done(self.arms.shrink)
        for layer in planned:
            own, like, has = (self.kernels(layer, state) for state in (self.weights, merged, shrunk))
            self.torch.testing.assert_close(has.norm(dim=1), like.norm(dim=1), rtol=1e-4, atol=1e-6)
            self.assertGreater(self.torch.cosine_similarity(own, has).min().item(), 0.999999)

    def test_a_copy_as_random_partner_leaves_the_kernel(self):
        own = self.torch.ones(2, 4)
        self.assertTrue(self.torch.equal(self.arms.matched(own, 2 * own, own, 0.8), own))

    def test_partners_of_a_grouped_layer_come_from_its_group(self):
        weight = self.torch.zeros(6, 1, 1, 1)
        weight[3:] = 1
        layer = {"kernels": 6, "groups": 2, "alpha": 0.8, "merges": [{"kernel": kernel, "partner": 0} for kernel in range(6)]}
        before = weight.clone()
        self.arms.control_(weight, layer, self.arms.random, self.torch.Generator().manual_seed(0))
        self.torch.testing.assert_close(weight, before)

    def test_the_plan_says_how_many_layers_and_kernels_take_part(self):
        import nets

        page = (REPORT / "PLAN.md").read_text()
        for name, layers, kernels in (("vgg16", 3, 1536), ("resnet50-thin", 43, 12672), ("efficientnet-lite0", 26, 11568)):
            net = nets.build(name, 2)
            selected, weights = self.selected(net), dict(net.named_parameters())
            self.assertEqual((len(selected), sum(len(weights[own]) for own in selected)), (layers, kernels))
            self.assertIn(f"{kernels:,} in {layers} layers", page)


@needs(*NEEDED)
class Runs(Case):
    """Whole runs, on a dozen images."""

    def setUp(self):
        super().setUp()
        import compare
        import nets
        import numpy as np
        import torch
        from safetensors.torch import save_file

        self.compare = compare
        torch.manual_seed(0)
        self.weights, self.data = self.folder / "weights", self.folder / "data"
        self.weights.mkdir()
        self.data.mkdir()
        save_file(nets.build("resnet50-thin", 2).state_dict(), self.weights / "resnet50-thin.safetensors")
        random, arrays = np.random.default_rng(0), {}
        for split, count in (("train", 12), ("val", 6), ("test", 6)):
            arrays[f"{split}_images"] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            arrays[f"{split}_labels"] = np.arange(count).reshape(-1, 1) % 2
        np.savez(self.data / "breastmnist.npz", **arrays)
        # Processes of their own would each take seconds to start; one test has them.
        self.processes = compare.ProcessPoolExecutor
        threads = mock.patch.object(compare, "ProcessPoolExecutor", lambda jobs, _, *start: ThreadPoolExecutor(jobs, "", *start))
        threads.start()
        self.addCleanup(threads.stop)

    def study(self, out, *words, arms=("none", "between-20%", "every-step"), seeds="0-1"):
        """The rows after the command, and what it said."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.compare.main(["--data", str(self.data), "--weights", str(self.weights), "--out", str(self.folder / out), "--settings",
                               "resnet50-thin-breast", "--size", "32", "--epochs", "2", "--batch", "4", "--arms", *arms, "--seeds", seeds, *words])
        return self.compare.read(self.folder / out / "resnet50-thin-breast.csv"), said.getvalue()

    def without_time(self, rows):
        return [{column: value for column, value in row.items() if column not in ("finished", "seconds")} for row in rows]

    def test_taken_up_again_it_gives_what_an_uninterrupted_study_does(self):
        whole, _ = self.study("whole")
        self.assertEqual([(row["seed"], row["arm"]) for row in whole],
                         [(seed, arm) for seed in "01" for arm in ("none", "between-20%", "every-step")])
        self.study("parts", seeds="1", arms=["every-step"])
        self.study("parts", seeds="0", arms=["none", "every-step"])
        parts, said = self.study("parts")
        self.assertIn("3 of 3", said)
        self.assertEqual(self.without_time(parts), self.without_time(whole))
        before = (self.folder / "parts/resnet50-thin-breast.csv").read_bytes()
        _, said = self.study("parts")
        self.assertEqual(said, "")
        self.assertEqual((self.folder / "parts/resnet50-thin-breast.csv").read_bytes(), before)
        _, said = self.study("parts", "--plan", seeds="0-2")
        self.assertIn("3 runs to do, 6 done", said)
        self.check_rows(whole)

    def check_rows(self, rows):
        """What a row says of its arm."""
        for row in rows:
            self.assertNotIn("", [value for column, value in row.items() if column != "moved"])
            same = all(row[column] == row[f"before_{column}"] for column in row if f"before_{column}" in row)
            self.assertEqual(same, row["arm"] != "between-20%")
            self.assertEqual(int(row["kernels"]) > 0, row["arm"] != "none")
            self.assertEqual(row["moved"] not in ("", "0"), row["arm"] == "between-20%")
        self.assertEqual(len({row["train_loss"] for row in rows}), len(rows))
        # Until a merge, arms of a seed are the same run.
        first, _ = self.study("first", "--epochs", "1", arms=["none", "matched-20%"], seeds="0")
        columns = ["train_loss", *(column for column in first[0] if column.startswith("before_"))]
        self.assertEqual(*([row[column] for column in columns] for row in first))

    def test_several_runs_at_once_give_the_same(self):
        one, _ = self.study("one", arms=["none", "between-20%"], seeds="0")
        # What a process imports is where it is for this one.
        path = mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        with path, mock.patch.object(self.compare, "ProcessPoolExecutor", self.processes):
            two, _ = self.study("two", "--jobs", "2", arms=["none", "between-20%"], seeds="0")
        self.assertEqual(self.without_time(one), self.without_time(two))

    def test_shards_have_each_run_once_and_collect_to_the_whole(self):
        import argparse

        grid = argparse.Namespace(settings=list(self.compare.SETTINGS), arms=list(self.compare.ARMS), seeds=range(20), size=None, lr=None,
                                  epochs=None, batch=None)
        parts = [self.compare.runs(argparse.Namespace(**vars(grid), shard=(part, 3))) for part in (1, 2, 3)]
        whole = self.compare.runs(argparse.Namespace(**vars(grid), shard=(1, 1)))
        self.assertEqual(len(whole), len(self.compare.SETTINGS) * len(self.compare.ARMS) * 20)
        self.assertEqual(sorted(run for part in parts for run in part), sorted(whole))
        self.assertEqual(len(set(whole)), len(whole))
        compared = {"none", "between-20%", "matched-20%"}
        first = len(self.compare.SETTINGS) * len(compared) * 20
        self.assertEqual([{key[0] for _, key in runs} for runs in (whole[:first], whole[first:])], [compared, set(self.compare.ARMS) - compared])
        seeds = [{(name, key[1]) for name, key in part} for part in parts]
        self.assertFalse(seeds[0] & seeds[1] or seeds[1] & seeds[2] or seeds[0] & seeds[2])
        for wrong in ("0/2", "3/2", "1"):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                self.study("out", "--shard", wrong)

        rows, _ = self.study("a", "--shard", "1/2", arms=["none"])
        more, _ = self.study("b", "--shard", "2/2", arms=["none"])
        self.assertEqual([row["seed"] for row in rows + more], ["0", "1"])
        both, _ = self.study("c", "--collect", str(self.folder / "a"), str(self.folder / "b"))
        self.assertEqual(both, sorted(rows + more, key=lambda row: row["seed"]))
        again, _ = self.study("c", "--collect", str(self.folder / "a"))
        self.assertEqual(again, both)

    def test_a_row_is_added_whole_or_not_at_all(self):
        rows, _ = self.study("out", arms=["none"], seeds="0")
        path = self.folder / "out/resnet50-thin-breast.csv"
        before = path.read_bytes()
        with mock.patch.object(self.compare.os, "replace", side_effect=OSError("no space left")), self.assertRaises(OSError):
            self.compare.add(path, [rows[0] | {"seed": "5"}])
        self.assertEqual(path.read_bytes(), before)


@needs(*NEEDED)
class Paired(Case):
    """The tables of reports/study."""

    def setUp(self):
        super().setUp()
        import intervals
        import paired
        import study_runs

        self.paired, self.intervals, self.study = paired, intervals, study_runs

    def runs(self, values):
        """The Runs of a setting with these AUROCs, by arm and seed; corrupted they are lower by 0.1."""
        from corruptions import NAMES
        from settings import SETTINGS

        [name, chosen] = next(iter(SETTINGS.items()))
        own = {field: str(getattr(chosen, field)) for field in self.study.OVERRIDES}
        scores = [f"{when}{split}_{metric}" for when in ("", "before_") for split in ("test", "val", *NAMES)
                  for metric in ("auroc", "accuracy", "ece", "loss")]
        return name, [{**own, "arm": arm, "seed": str(seed), "kernels": "3", "moved": "0.25", "finished": f"T{seed}",
                       "train_loss": "0.5", **{column: str(value if "test" in column else value - 0.1) for column in scores}}
                      for arm, found in values.items() for seed, value in found.items()]

    def test_quantiles_are_those_of_students_tables(self):
        for freedom, known in ((1, 12.7062), (2, 4.3027), (3, 3.1824), (10, 2.2281), (19, 2.0930), (30, 2.0423)):
            self.assertAlmostEqual(self.intervals.student(0.975, freedom), known, places=4)
        self.assertAlmostEqual(self.intervals.student(0.95, 19), 1.7291, places=4)

    def test_an_interval_by_hand(self):
        # The mean is 0.02, the squares of what is left sum to 0.002, and t of 3 degrees of freedom is 3.1824.
        mean, deviation, half = self.intervals.interval([0.01, 0.03, -0.01, 0.05])
        self.assertAlmostEqual(mean, 0.02)
        self.assertAlmostEqual(deviation, (0.002 / 3) ** 0.5)
        self.assertAlmostEqual(half, 3.1824 * (0.002 / 3) ** 0.5 / 2, places=5)
        self.assertEqual(self.intervals.told([0.01, 0.03, -0.01, 0.05]), "+0.0200 [-0.0211, +0.0611]")
        self.assertEqual(self.intervals.told([0.01]), "+0.0100")
        self.assertEqual(self.intervals.told([]), "")

    def test_only_seeds_that_both_arms_have_are_paired(self):
        name, rows = self.runs({"none": {0: 0.5, 1: 0.6, 3: 0.9}, "between-20%": {1: 0.7, 2: 0.1, 3: 0.8}, "matched-20%": {3: 0.75}})
        made = {name: self.study.Runs(name, rows)}
        self.assertEqual([round(d, 9) for d in made[name].differences("between-20%", "none", "test_auroc")], [0.1, -0.1])
        self.assertEqual([round(d, 9) for d in made[name].differences("between-20%", "none", "corrupted_auroc")], [0.1, -0.1])
        first, second = self.paired.primary(made).splitlines()[2:]
        self.assertIn("| between-20% − none | 2 | +0.0000 [", first)
        self.assertIn("| 1 / 1 |", first)
        self.assertIn("| between-20% − matched-20% | 1 | +0.0500 |", second)
        self.assertIn(f"| `{name}` | 1 of 20 | 0 of 20 | 7 of 240 | T0 to T3 |", self.paired.progress(made))

    def test_what_stands_out_is_counted_and_named(self):
        up = {seed: 0.6 + seed % 2 / 100 for seed in range(20)}
        name, rows = self.runs({"none": dict.fromkeys(range(20), 0.58), "between-20%": up, "between-5%": dict.fromkeys(range(19), 0.5),
                                "shrink-20%": {seed: 0.58 + (seed % 2 - 0.5) / 100 for seed in range(20)}})
        made = {name: self.study.Runs(name, rows)}
        counts, which = (part.splitlines()[2:] for part in self.paired.standing_out(made).split("\n\n"))
        cells = "4 of 8 (0.4) | 4 of 8 (0.4) | 3 of 6 (0.3) | 24 of 48 (2.4) |"
        self.assertEqual(counts, [f"| `{name}` | arms − none | {cells}", f"| all |  | {cells}"])
        self.assertEqual(len(which), 35)
        self.assertEqual(which[0], f"| `{name}` | between-20% − none | AUROC | +0.0250 [+0.0226, +0.0274] |")
        self.assertEqual(which[-1], f"| `{name}` | between-20% − none | ECE, brightness2 | +0.0250 [+0.0226, +0.0274] |")

        more = self.runs({"matched-20%": up})[1]
        lines = self.paired.standing_out({name: self.study.Runs(name, rows + more)}).splitlines()
        self.assertIn(f"| `{name}` | between-20% − matched-20% | 0 of 4 (0.2) | 0 of 4 (0.2) | 0 of 3 (0.2) | 0 of 24 (1.2) |", lines)

    def test_what_the_last_merge_does_is_told_beside_none(self):
        name, rows = self.runs({"none": {0: 0.5, 1: 0.5, 30: 0.5}, "between-20%": {0: 0.7, 1: 0.7, 2: 0.9, 30: 0.7}})
        for row in rows:  # statistics estimated anew add 0.1 in every arm
            row["before_test_auroc"] = str(float(row["test_auroc"]) - (0.13 if row["arm"] != "none" and row["seed"] == "1" else 0.1))
        found = self.study.Runs(name, rows).last_merge("between-20%", "test_auroc")
        self.assertEqual([round(value, 9) for value in found], [0, 0.03, 0])

    def test_thresholds_are_compared_where_several_have_runs(self):
        arms = {"none": 0.5, "between-20%": 0.7, "between-chance=1%": 0.6, "between-5%": 0.5, "between-0.3": 0.4, "carried-20%": 0.9}
        name, rows = self.runs({arm: {0: value} for arm, value in arms.items()})
        lines = self.paired.thresholds({name: self.study.Runs(name, rows)}).splitlines()[2:]
        self.assertEqual(lines, [f"| `{name}` | `{tau}` | 1 | 3 | {beside} | {beside} | +0.0000 |" for tau, beside in (
            ("20%", "+0.2000"), ("chance=1%", "+0.1000"), ("5%", "+0.0000"), ("0.3", "-0.1000"))])
        two = [row for row in rows if row["arm"] not in ("between-20%", "between-chance=1%")]
        self.assertEqual(self.paired.thresholds({name: self.study.Runs(name, two)}).splitlines()[2:], lines[2:])
        one = [row for row in two if row["arm"] != "between-0.3"]
        self.assertEqual(self.paired.thresholds({name: self.study.Runs(name, one)}).splitlines()[2:], [])

    def test_runs_of_other_sizes_are_not_mixed(self):
        name, rows = self.runs({"none": {0: 0.5, 1: 0.6}})
        rows[1]["lr"] = "1"
        with self.assertRaisesRegex(SystemExit, "several of size, lr"):
            self.study.Runs(name, rows)

    def test_tables_and_the_figure_are_those_of_the_csvs(self):
        self.paired.main(["--report", str(self.copied())])
        for name in "README.md", "primary.svg":
            self.assertEqual((self.folder / "study" / name).read_text(), (REPORT / name).read_text())
        self.assertIn("](primary.svg)", (REPORT / "README.md").read_text())

    def test_the_figure_has_the_settings_that_are_whole(self):
        first, second = list(self.paired.SETTINGS)[:2]
        pairs = {arm: {seed: value + seed % 2 / 100 for seed in range(20)} for arm, value in (("between-20%", 0.6), ("matched-20%", 0.5))}
        _, rows = self.runs(pairs | {"none": dict.fromkeys(range(20), 0.58)})
        made = {first: self.study.Runs(first, rows), second: self.study.Runs(second, rows[:-1])}
        self.assertEqual(made[second].whole(self.paired.COMPARED), list(range(19)))
        drawn = self.paired.primary_figure(made)
        self.assertIn(f">{first}<", drawn)
        self.assertNotIn(second, drawn)
        self.assertIsNone(self.paired.primary_figure({second: made[second]}))

    def test_an_interval_is_drawn_where_it_is(self):
        import effects_figure

        drawn = effects_figure.figure("title", ["one", "two"], [("a", [(0.01, 0.01), (0, 0.04)]), ("b", [(-0.02, 0.01), (0, 0)])])
        # Panels are 235 wide from 206 and 469 on, with 0 in the middle and 1.05 · 0.04 at the ends; lines are at 77 and 99.
        for shape in ("M323.5 77.0L379.5 77.0", "M351.5 77.0h0", "M474.6 77.0L698.4 77.0", "M239.6 99.0L295.5 99.0", "M586.5 99.0h0"):
            self.assertIn(f'"{shape}"', drawn)
        self.assertEqual([effects_figure.signed(value, effects_figure.tick(reach)) for reach, value in (
            (0.04, 0.02), (0.012, -0.005), (0.9, 0.2), (0.0028, 0))], ["+0.02", "−0.005", "+0.2", "0"])

    def copied(self):
        import shutil

        return shutil.copytree(REPORT, self.folder / "study")

    def test_intervals_that_the_text_names_are_those_of_the_csvs(self):
        known = set()
        for name, rows in self.paired.collected(REPORT).items():
            runs = self.study.Runs(name, rows)
            arms = [arm for arm in self.paired.ARMS if len(runs.seeds(arm)) > 1]
            columns = [column for group in self.study.GROUPS.values() for column in group]
            found = [runs.differences(arm, other, column) for arm, other in permutations(arms, 2) for column in columns]
            changes = self.study.Runs.last_merge, lambda runs, arm, column: [self.study.after(runs.rows[arm, seed], column) for seed in runs.seeds(arm)]
            found += [change(runs, arm, column) for change in changes for arm in arms for column in self.study.SCORES]
            last = self.study.Runs.last_merge
            found += [list(map(operator.sub, last(runs, arm, column), last(runs, other, column)))
                      for arm, other in permutations(arms, 2) if runs.seeds(arm) == runs.seeds(other) for column in self.study.SCORES]
            known |= {self.intervals.told(differences) for differences in found}
            # "Lower by" turns a difference round.
            known |= {self.intervals.told([-difference for difference in differences]) for differences in found}
        number = r"([+-]?0\.\d{4})"
        total = 0
        for path in REPORT / "README.md", REPORT.parents[1] / "README.md", *(REPORT.parents[1] / "docs").glob("*.md"):
            text = re.sub(r"<!-- begin (\S+) -->.*?<!-- end \1 -->", "", path.read_text(), flags=re.DOTALL).replace("−", "-")
            for cited in re.finditer(rf"{number} \[{number}, {number}\]", text):
                mean, low, high = map(float, cited.groups())
                self.assertIn(f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]", known, f"{path.name} names an interval that no difference has")
                total += 1
        self.assertGreater(total, 5)

    def test_runs_are_those_of_the_plan_and_later_than_it(self):
        from arms import ARMS
        from settings import SETTINGS

        for name, rows in self.paired.collected(REPORT).items():
            chosen = [str(getattr(SETTINGS[name], field)) for field in self.study.OVERRIDES]
            for row in rows:
                self.assertEqual([row[field] for field in self.study.OVERRIDES], chosen)
                self.assertTrue(row["arm"] in ARMS and int(row["seed"]) < self.study.SEEDS)
                self.assertGreater(row["finished"], "2026-11-29T17:26:29Z")
        page = (REPORT / "PLAN.md").read_text()
        for arm in ARMS:
            self.assertIn(f"`{arm}`", page)


if __name__ == "__main__":
    unittest.main()
