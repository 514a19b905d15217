"""The comparison of BatchNorm's statistics after a merge (examples/pytorch/norms_after_merge.py, docs/batchnorm.md)."""

import csv
import sys
import unittest

from common import FIXTURES, Case, needs

# Last, as its modules have names that others may have too.
sys.path.append(str(FIXTURES.parent / "examples/pytorch"))


@needs("numpy", "safetensors", "torch", "torchvision")
class Comparison(Case):
    def test_the_page_has_the_table_of_the_rows(self):
        import norms_after_merge as script

        page = script.PAGE.read_text()
        with open(script.CSV, newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(script.filled(page, {"norms": script.tabulated(rows)}), page)
        self.assertEqual(len(rows), 2 * (2 + 4 * 4))

    def test_each_way_treats_the_statistics_as_it_says(self):
        import norms_after_merge as script
        import torch
        from data import network_input
        from net import build
        from torch.nn.modules.batchnorm import _BatchNorm

        torch.manual_seed(0)
        net = build(2, 1)
        images, labels = torch.randint(0, 256, (80, 28, 28), dtype=torch.uint8), torch.arange(80) % 2
        net.train()
        with torch.no_grad():
            for _ in range(3):
                net(network_input(images, 1))
        subject = script.Subject("net", net, lambda part: network_input(part, 1), dict.fromkeys(("train", "val", "test"), (images, labels)))
        before = {name: value.clone() for name, value in net.state_dict().items()}
        rows = {(row["merge"], row["statistics"]): row for row in subject.rows()}
        self.assertEqual(len(rows), 18)
        # The subject itself stays as it was.
        self.assertTrue(all(torch.equal(value, before[name]) for name, value in net.state_dict().items()))
        self.assertEqual(len([layer for layer in subject.order if layer["norm"]]), sum(isinstance(module, _BatchNorm) for module in net.modules()))
        for merge in list(script.MERGES)[1:]:
            self.assertEqual(len({rows[merge, way]["kernels"] for way in script.WAYS}), 1)
            # Two batches, of 64 and 16: their mean variance is not quite that of all images.
            self.assertAlmostEqual(rows[merge, "estimated anew"]["deviation"], 1, delta=0.1)
        strong = list(script.MERGES)[-1]
        self.assertLess(rows[strong, "kept"]["deviation"], rows[strong, "`--carry norm`"]["deviation"])


if __name__ == "__main__":
    unittest.main()
