"""`ranks.py FOLDER`: two processes train one network by gloo and merge it; what each ends with is in FOLDER/RANK.json."""

import json
import sys
from pathlib import Path

import common
import torch
from torch import distributed, multiprocessing
from trainers import network

from inmerge_ckpt import InmergeError
from inmerge_ckpt.torch import layers, merge_, merge_step_


def work(rank, folder):
    folder = Path(folder)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(rank)  # other data in each process
    net = network()
    order = layers(net, torch.zeros(1, 3, 16, 16))
    parallel = torch.nn.parallel.DistributedDataParallel(net)
    optimizer = torch.optim.AdamW(parallel.parameters(), 1e-3)
    average = torch.optim.swa_utils.AveragedModel(net)
    for _ in range(2):
        optimizer.zero_grad()
        parallel(torch.randn(4, 3, 16, 16)).square().mean().backward()
        optimizer.step()
    average.update_parameters(net)
    weights = [parameter for parameter in net.parameters() if parameter.ndim == 4]
    identities = [id(weight) for weight in weights]
    if rank == 1:
        with torch.no_grad():
            weights[1].add_(1e-3)  # what has drifted apart comes together again
    before = common.digest([weight.detach() for weight in weights])
    report = merge_(parallel, optimizer=optimizer, ema=average, layers=order, seed=3, **common.MERGING)
    assert report.totals.merged > 10 and before != common.digest([weight.detach() for weight in weights])
    assert [id(parameter) for parameter in net.parameters() if parameter.ndim == 4] == identities
    digests = [common.digest([weight.detach() for weight in weights])]
    digests.append(common.digest([optimizer.state[weight]["exp_avg"] for weight in weights]))

    names = [layer.name for layer in report.layers]
    try:
        merge_step_(parallel, names)
        raise AssertionError("draws of its own in each process")
    except InmergeError:
        pass
    merge_step_(parallel, names, tau=0.0, generator=torch.Generator().manual_seed(1))
    digests.append(common.digest([weight.detach() for weight in weights]))

    messages = []
    # An error of one process, and parts that the processes do not have in common, are errors of all.
    def fails():
        raise KeyError("no average yet")

    wrong_average, failing_average = {"ema": {} if rank else net}, {"ema": fails if rank else net}
    for options in ({"tau": 3}, {"optimizer": optimizer} if rank else {}, wrong_average, failing_average):
        try:
            merge_(parallel, layers=order, **options)
        except InmergeError as error:
            messages.append(str(error))
    expected = ["--tau", "different parts", "average", "KeyError: 'no average yet'"]
    assert len(messages) == 4 and all(text in message for text, message in zip(expected, messages, strict=True)), messages
    (folder / f"{rank}.json").write_text(json.dumps({"digests": digests, "merged": report.totals.merged, "messages": messages}))
    distributed.barrier()  # gloo aborts a process whose peer is gone already
    distributed.destroy_process_group()


if __name__ == "__main__":
    multiprocessing.spawn(work, (sys.argv[1],), nprocs=2)
