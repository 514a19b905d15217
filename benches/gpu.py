#!/usr/bin/env python3
"""Times the program on a GPU, beside PyTorch on the same one, the processor, and the least that the work can take.

Run by tests/gpu/check.sh, which `make gpu-check` runs; benches/README.md says what is measured. Needs Python only, and for
the peers PyTorch. Writes one JSON object, again after every measurement, so that what has been measured is there whenever it
is stopped; benches/gpu_tables.py makes tables of it. What was measured is a list of seconds, one for each repetition; where
that failed, an object that says why.
"""
import argparse
import json
import os
import platform
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"
PRECISIONS = ("f32", "tf32", "bf16")
# The most telling first: where time is short, the last are left out.
CASES = {
    "wide8192": "[8192,256,3,3]",
    "resnet50": "ResNet-50",
    "wide2048": "[2048,512,3,3]",
    "wide512": "[512,512,3,3]",
    "wide4096": "[4096,512,3,3]",
}
# For trying this script where a GPU is a stand-in on the processor.
SMALL_CASES = {"scale64": "[64,128,3,3]", "scale128": "[128,128,3,3]"}
# All convolutions, and every kernel looks for its nearest partner.
FLAGS = ["--skip-shallow", "0", "--tau", "0.5", "--prob", "1", "--partner", "nearest"]
TIMES_NOTE = re.compile(r"layers took ([\d.]+) s there, ([\d.]+) s of it to copy them")


class Failure(Exception):
    """Why something was not measured."""

    kind = "failed"


class Missing(Failure):
    """What it needs is not installed here."""

    kind = "left out"


class OutOfTime(Exception):
    """No time is left to measure more."""


class Bench:
    def __init__(self, args, desk):
        self.bundle = Path(args.bundle).resolve()
        self.desk = desk
        self.repetitions = 1 if args.small else args.repetitions
        self.end = time.monotonic() + args.seconds
        self.small = args.small
        self.cases = SMALL_CASES if args.small else CASES

    def run(self, command, ours=True):
        """Runs a process to its end: seconds, stdout and stderr."""
        environment = dict(os.environ, NO_COLOR="1")
        if ours:
            paths = [str(self.bundle / "lib"), environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
        left = self.end - time.monotonic()
        if left < 1:
            raise OutOfTime
        start = time.perf_counter()
        try:
            words = [str(word) for word in command]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [""]
            if lines[-1].startswith("ModuleNotFoundError"):
                raise Missing(lines[-1][:200])
            raise Failure(f"exit code {done.returncode}: {lines[-1][:200]}")
        return seconds, done.stdout, done.stderr

    def ours(self, *arguments):
        return self.run([self.bundle / "inmerge-ckpt", *arguments])

    def checkpoint(self, name):
        path = self.desk / f"{name}.safetensors"
        if not path.exists():
            self.run([self.bundle / "whole", "make", name, path])
        return path

    def on_device(self, path, precision, *more):
        """Seconds for the layers of one round on the GPU, with and without the copies, once all is warm."""

        def noted(rounds):
            # With alpha 1 kernels stay what they are, so that every round finds the same.
            flags = [*FLAGS, "--alpha", "1", "--rounds", rounds, "--backend", "cuda", "--screen", precision, *more]
            _, _, stderr = self.ours("merge", path, "--dry-run", "-v", *flags)
            note = TIMES_NOTE.search(stderr)
            if not note:
                raise Failure("the program did not say what its layers took")
            return [float(number) for number in note.groups()]

        few, many = 2, 6
        before, after = noted(few), noted(many)
        working, copying = ((b - a) / (many - few) for a, b in zip(before, after))
        return working, working - copying

    def peer_steps(self, path):
        device = "cpu" if self.small else "cuda"
        command = [sys.executable, PEERS / "gram_torch.py", path, "--repetitions", self.repetitions, "--device", device]
        _, stdout, _ = self.run(command, ours=False)
        return json.loads(stdout)

    def whole_runs(self, path):
        """The processes that are compared from start to exit, by name."""
        output = self.desk / "out.safetensors"
        ours = ["merge", path, output, "--force", "--no-sync", "-q", *FLAGS]
        device = "cpu" if self.small else "cuda"
        script = [sys.executable, PEERS / "merge_torch.py", path, output]
        script += ["--tau", "0.5", "--skip-shallow", "0", "--device", device]
        return {
            "ours, cuda": lambda: self.ours(*ours, "--backend", "cuda")[0],
            "ours, auto": lambda: self.ours(*ours, "--backend", "auto")[0],
            "ours, cpu": lambda: self.ours(*ours, "--backend", "cpu")[0],
            "PyTorch script": lambda: self.run(script, ours=False)[0],
        }

    def peer_start(self):
        """Seconds that the PyTorch script takes to start: Python and imports alone."""
        return self.run([sys.executable, PEERS / "merge_torch.py", "--help"], ours=False)[0]


class Results:
    """What was measured so far, in the file."""

    def __init__(self, bench, out):
        self.bench = bench
        self.out = Path(out)
        self.values = {"small": bench.small, "cases": dict(bench.cases), "machine": machine(bench)}
        self.values |= {"device": {}, "peers": {}, "whole": {}, "is_complete": False}
        self.write()

    def write(self):
        unfinished = self.out.with_suffix(".part")
        unfinished.write_text(json.dumps(self.values, indent=1) + "\n")
        unfinished.replace(self.out)

    def add(self, place, name, work):
        """Measures once more; where it once failed, it stays so."""
        if isinstance(place.setdefault(name, []), dict):
            return
        try:
            place[name].append(work())
        except Failure as failure:
            place[name] = {failure.kind: str(failure)}
        self.write()


def measure(bench, results):
    """Everything once in each repetition, so that a machine's moods fall on all alike: first what the program's rates are
    taken from, then what they are compared with, then whole processes."""
    values = results.values
    count = 4 if bench.small else 200
    one, many = (tiny_layers(bench.desk / f"tiny{n}.safetensors", n) for n in (1, count))
    values["tiny_layers"] = count
    paths = checkpoints(bench, values)

    def run(path, backend):
        return bench.ours("merge", path, "--dry-run", *FLAGS, "-q", "--backend", backend)[0]

    for repetition in range(bench.repetitions):
        results.add(values, "start", lambda: run(one, "cuda") - run(one, "cpu"))
        results.add(values, "layer", lambda: bench.on_device(many, "f32", "--threads", "1")[0] / count)
        for name, path in paths.items():
            # Of several layers at once the times would be added up though they overlap.
            more = ["--threads", "1"] if name == "resnet50" else []
            device = values["device"].setdefault(name, {})
            for precision in PRECISIONS:
                results.add(device, precision, lambda: bench.on_device(path, precision, *more))
        if repetition == 0:
            for name, path in paths.items():
                results.add(values["peers"], name, lambda: bench.peer_steps(path))
        results.add(values, "peer_start", bench.peer_start)
        for name, path in paths.items():
            whole = values["whole"].setdefault(name, {})
            for contender, work in bench.whole_runs(path).items():
                results.add(whole, contender, work)
    values["is_complete"] = True
    results.write()


def checkpoints(bench, values):
    """The checkpoints that can be made, by name."""
    paths = {}
    for name in bench.cases:
        try:
            paths[name] = bench.checkpoint(name)
        except Failure as failure:
            values["device"][name] = {failure.kind: str(failure)}
    return paths


def tiny_layers(path, count):
    """A checkpoint of so many layers of 16 kernels of 16 numbers."""
    numbers = [((7 * i * i + 3 * i) % 101 - 50) / 50 for i in range(256)]
    data = b"".join(struct.pack("<256f", *numbers) for _ in range(count))
    header = {
        f"features.{i}.weight": {"dtype": "F32", "shape": [16, 16, 1, 1], "data_offsets": [1024 * i, 1024 * (i + 1)]}
        for i in range(count)
    }
    header = json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def answer(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def machine(bench):
    cuda = "import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,memory.total", "--format=csv,noheader"]
    return {
        "GPU, driver, clock, memory": answer(query).replace("\n", "; "),
        "processor": (re.search(r"Model name:\s*(.*)", answer(["lscpu"])) or [None, "unknown"])[1],
        "threads": len(os.sched_getaffinity(0)),
        "kernel": platform.platform(),
        "python": platform.python_version(),
        "PyTorch, its GPU": answer([sys.executable, "-c", cuda]),
        "repetitions": bench.repetitions,
    }


def failures(value, name=""):
    """What failed anywhere in the results."""
    if isinstance(value, dict):
        if "failed" in value:
            return [f"{name}: {value['failed']}"]
        return [failure for key, inner in value.items() for failure in failures(inner, f"{name} {key}".strip())]
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="the folder that make gpu-bundle has filled")
    parser.add_argument("--out", required=True, help="where the JSON goes")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3600, help="measure no longer than this")
    parser.add_argument("--small", action="store_true", help="two small layers, once, PyTorch on the processor: a trial of this script")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as desk:
        bench = Bench(args, Path(desk))
        results = Results(bench, args.out)
        try:
            measure(bench, results)
        except OutOfTime:
            print(f"stopped after {args.seconds:.0f} s, with what was measured by then")
    keys = ("start", "layer", "device", "peers", "peer_start", "whole")
    wrong = failures({key: results.values.get(key) for key in keys})
    for failure in wrong:
        print(f"error: {failure}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
