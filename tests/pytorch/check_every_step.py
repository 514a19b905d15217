"""The rule after every step, kernel by kernel as it is written, with the same draws: no kernel may differ.

`check_every_step.py EXAMPLES`
"""

import sys

import torch

sys.path.insert(0, sys.argv[1])
from merging import merge_after_step

torch.set_num_threads(1)
some = 0
for case, (n, tau, alpha, prob) in enumerate([(40, 0.3, 0.8, 0.3), (40, 0.0, 0.5, 1.0), (2, -1.0, 0.8, 1.0), (64, 0.6, 0.9, 0.7)]):
    torch.manual_seed(case)
    weight = torch.randn(n, 3, 3, 3) + torch.randn(3, 3, 3)  # one part in common, so that many pairs are alike
    before = weight.clone().flatten(1)

    torch.manual_seed(100 + case)
    partners, turns = torch.randint(n - 1, (n,)), torch.rand(n)
    expected, changed = before.clone(), []
    for i in range(n):
        j = int(partners[i]) + (int(partners[i]) >= i)
        assert j != i
        a, b = before[i].double(), before[j].double()
        if turns[i] < prob and a @ b / (a.norm() * b.norm()) > tau:
            expected[i] = alpha * before[i] + (1 - alpha) * before[j]
            changed.append(i)

    torch.manual_seed(100 + case)
    found = merge_after_step(weight, tau, alpha, prob)
    assert found.tolist() == changed, (case, found, changed)
    assert torch.equal(weight.flatten(1), expected), case
    some += 0 < len(changed) < n
assert some >= 2, "too few cases in which some kernels merge and some do not"

# Strictly above, and a lone kernel has no partner.
zero = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 2, 1, 1)
assert len(merge_after_step(zero, 0.0, 0.8, 1.0)) == 0
assert len(merge_after_step(zero, -0.01, 0.8, 1.0)) == 2
assert len(merge_after_step(torch.ones(1, 2, 1, 1), -1.0, 0.8, 1.0)) == 0
print("checked")
