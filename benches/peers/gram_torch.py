#!/usr/bin/env python3
"""Each kernel's nearest partner above a threshold, in PyTorch on a GPU, timed step by step.

Prints one JSON object: for each precision, lists of seconds for all convolutions of the checkpoint, one after the other.

copy       the weights to the GPU, from memory that is not pinned
product    the bare product of all unit vectors with all (torch.mm), both halves of the symmetric matrix
compute    normalise, mm, max, compare with the threshold, and the result back; the weights are on the GPU already
whole      the same with the copy
"""
import argparse
import json
import time

import torch

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def kernels(path):
    """The convolutions of a safetensors file, a kernel a row, in memory that is not pinned."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    for tensor in header.values():
        shape, (start, end) = tensor["shape"], tensor["data_offsets"]
        if len(shape) == 4:
            dtype = DTYPES[tensor["dtype"]]
            count = (end - start) // dtype.itemsize
            yield torch.frombuffer(data, dtype=dtype, count=count, offset=start).view(shape[0], -1)


def unit_vectors(weight, precision):
    unit = torch.nn.functional.normalize(weight.float(), dim=1, eps=1e-8)
    return unit.bfloat16() if precision == "bf16" else unit


def nearest(weight, precision, tau):
    unit = unit_vectors(weight, precision)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-2)
    best, partner = similarity.max(dim=1)
    return (best > tau).cpu(), partner.cpu()


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--tau", type=float, default=0.5)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()

    def wait():
        if args.device != "cpu":
            torch.cuda.synchronize()

    def seconds(work, operands):
        """Each operand by itself, so that one layer's results need not stay while the next one's are made."""
        wait()
        start = time.perf_counter()
        for operand in operands:
            work(operand)
        wait()
        return time.perf_counter() - start

    weights = list(kernels(args.input))
    resident = [weight.to(args.device) for weight in weights]
    times = {}
    for precision in ("f32", "tf32", "bf16"):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        units = [unit_vectors(weight, precision) for weight in resident]
        steps = {
            "copy": (lambda weight: weight.to(args.device, copy=True), weights),
            "product": (lambda unit: torch.mm(unit, unit.T), units),
            "compute": (lambda weight: nearest(weight, precision, args.tau), resident),
            "whole": (lambda weight: nearest(weight.to(args.device, copy=True), precision, args.tau), weights),
        }
        times[precision] = {name: [] for name in steps}
        # The first time takes choosing algorithms and making room.
        for repetition in range(args.repetitions + 1):
            for name, (work, operands) in steps.items():
                took = seconds(work, operands)
                if repetition:
                    times[precision][name].append(took)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
