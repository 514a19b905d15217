#!/usr/bin/env python3
"""Times the program on a GPU, beside PyTorch on the same one, the processor, and the least that the work can take.

Run by tests/gpu/check.sh, which `make gpu-check` runs; benches/README.md says what is measured. Needs Python only, and for
the peers PyTorch. Prints tables in Markdown: a cell holds what was measured in this run, or why it was not.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"
PRECISIONS = ("f32", "tf32", "bf16")
CASES = {
    "wide512": "[512,512,3,3]",
    "wide2048": "[2048,512,3,3]",
    "wide4096": "[4096,512,3,3]",
    "wide8192": "[8192,256,3,3]",
    "resnet50": "ResNet-50",
}
# For trying this script where a GPU is a stand-in on the processor.
SMALL_CASES = {"scale64": "[64,128,3,3]", "scale128": "[128,128,3,3]"}
# All convolutions, and every kernel looks for its nearest partner.
FLAGS = ["--skip-shallow", "0", "--tau", "0.5", "--prob", "1", "--partner", "nearest"]
TIMES_NOTE = re.compile(r"layers took ([\d.]+) s there, ([\d.]+) s of it to copy them")


class Failure(Exception):
    """Why something was not measured."""


class Bench:
    def __init__(self, args, desk):
        self.bundle = Path(args.bundle).resolve()
        self.desk = desk
        self.repetitions = 1 if args.small else args.repetitions
        self.small = args.small
        self.cases = SMALL_CASES if args.small else CASES

    def run(self, command, ours=True):
        """Runs a process to its end: seconds, stdout and stderr."""
        environment = dict(os.environ, NO_COLOR="1")
        if ours:
            paths = [str(self.bundle / "lib"), environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
        start = time.perf_counter()
        done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [""]
            raise Failure(f"failed ({done.returncode}): {lines[-1][:200]}")
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
            "its start": lambda: self.run(script[:2] + ["--help"], ours=False)[0],
        }

    def repeated(self, works):
        """Everyone once in each round, so that a machine's moods fall on all alike; lists of what was measured."""
        results = {name: [] for name in works}
        for _ in range(self.repetitions):
            for name, work in works.items():
                if isinstance(results[name], list):
                    try:
                        results[name].append(work())
                    except Failure as failure:
                        results[name] = failure
        return results


def cell(times):
    """The median, and in brackets the least and the most; or why there is none."""
    if isinstance(times, Failure):
        return str(times).replace("|", "/")
    middle, least, most = (significant(number) for number in (statistics.median(times), min(times), max(times)))
    return f"{middle} ({least}–{most})"


def significant(number):
    """At least three places, in full."""
    return f"{number:.6f}" if abs(number) < 0.01 else f"{number:.4f}" if abs(number) < 1 else f"{number:.3f}"


def ratio(over, under):
    if isinstance(over, Failure) or isinstance(under, Failure):
        return "–"
    under = statistics.median(under)
    return f"{statistics.median(over) / under:.2f}" if under > 0 else "–"


def table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def parts(pairs, index):
    return pairs if isinstance(pairs, Failure) else [pair[index] for pair in pairs]


def device_tables(bench):
    """Seconds on the device by case and precision, their ratios, and ours as measured."""
    rows, ratios, measured = [], [], {}
    for name, label in bench.cases.items():
        path = bench.checkpoint(name)
        # Of several layers at once the times would be added up though they overlap.
        more = ["--threads", "1"] if name == "resnet50" else []
        works = {p: lambda p=p: bench.on_device(path, p, *more) for p in PRECISIONS}
        ours = bench.repeated(works)
        measured[name] = ours
        try:
            peer = bench.peer_steps(path)
        except Failure as failure:
            peer = dict.fromkeys(PRECISIONS, dict.fromkeys(("copy", "product", "compute", "whole"), failure))
        for precision in PRECISIONS:
            whole, compute = parts(ours[precision], 0), parts(ours[precision], 1)
            steps = peer[precision]
            named = [f"{label}, {precision}"]
            columns = [whole, compute, steps["whole"], steps["compute"], steps["copy"], steps["product"]]
            rows.append(named + [cell(times) for times in columns])
            half = steps["product"]
            half = half if isinstance(half, Failure) else [seconds / 2 for seconds in half]
            pairs = [(steps["whole"], whole), (steps["compute"], compute), (whole, steps["copy"])]
            pairs += [(compute, steps["product"]), (compute, half)]
            ratios.append(named + [ratio(*pair) for pair in pairs])
    times = table(["", "ours", "ours, no copy", "PyTorch", "PyTorch, no copy", "bare copy", "bare product"], rows)
    header = ["", "PyTorch / ours", "the same, no copy", "ours / bare copy", "ours, no copy / bare product", "/ half of it"]
    return times, table(header, ratios), measured


def whole_table(bench):
    rows, header = [], None
    for name, label in bench.cases.items():
        runs = bench.whole_runs(bench.checkpoint(name))
        header = header or ["", *runs]
        results = bench.repeated(runs)
        rows.append([label] + [cell(times) for times in results.values()])
    return table(header, rows)


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


def rates_table(bench, measured):
    """What src/similarity/cost.rs assumes of a GPU, as this one has it."""
    count = 4 if bench.small else 200
    one, many = (tiny_layers(bench.desk / f"tiny{n}.safetensors", n) for n in (1, count))

    def run(path, backend):
        return bench.ours("merge", path, "--dry-run", *FLAGS, "-q", "--backend", backend)[0]

    results = bench.repeated(
        {
            "start": lambda: run(one, "cuda") - run(one, "cpu"),
            "layer": lambda: bench.on_device(many, "f32", "--threads", "1")[0] / count,
        }
    )
    rows = [
        ["START: a run on the GPU beyond one on the processor, s", cell(results["start"])],
        [f"LAYER: each of {count} tiny layers, one after the other, copies included, s", cell(results["layer"])],
    ]
    try:
        gpu = json.loads(bench.ours("doctor", "--json")[1])["gpus"][0]
        cycles = gpu["multiprocessors"] * gpu["clock_mhz"] * 1e6
    except (Failure, LookupError, TypeError):
        cycles = None
    for name, label in bench.cases.items():
        shape = [int(number) for number in re.findall(r"\d+", label)]
        if len(shape) != 4:
            continue
        n, d = shape[0], shape[1] * 9
        for precision in PRECISIONS:
            pairs = measured[name][precision]
            if isinstance(pairs, Failure):
                continue
            if precision == "f32":
                # A difference of two runs can come out at nothing on a layer that takes next to nothing.
                rates = [4e-9 * n * d / (pair[0] - pair[1]) for pair in pairs if pair[0] > pair[1]]
                rows.append([f"BUS: {label}, GB/s", cell(rates) if rates else "too short to tell"])
            rates = [n * n * d / 2 / pair[1] for pair in pairs if pair[1] > 0]
            if rates:
                rows.append([f"{label}, {precision}, 10⁹ multiply-adds/s", cell([rate / 1e9 for rate in rates])])
            if rates and cycles:
                rates = cell([rate / cycles for rate in rates])
                rows.append([f"{label}, {precision}, the same a cycle and multiprocessor", rates])
    return table(["", ""], rows)


def answer(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine(bench):
    cuda = "import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,memory.total", "--format=csv,noheader"]
    facts = {
        "GPU, driver, clock, memory": answer(query).replace("\n", "; "),
        "processor": (re.search(r"Model name:\s*(.*)", answer(["lscpu"])) or [None, "unknown"])[1],
        "threads": str(len(os.sched_getaffinity(0))),
        "kernel": platform.platform(),
        "python": platform.python_version(),
        "PyTorch, its GPU": answer([sys.executable, "-c", cuda]),
        "commit": (bench.bundle / "commit").read_text().strip(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "repetitions": str(bench.repetitions),
    }
    doctor = bench.ours("doctor")[1].strip()
    return "".join(f"- {name}: {fact}\n" for name, fact in facts.items()) + f"\n```\n{doctor}\n```\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True, help="the folder that make gpu-bundle has filled")
    parser.add_argument("--out", required=True, help="where the tables go")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="two small layers, once, PyTorch on the processor: a trial of this script")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as desk:
        bench = Bench(args, Path(desk))
        text = machine(bench)
        if bench.small:
            text = "**A trial of the script, not a measurement.**\n\n" + text
        times, ratios, measured = device_tables(bench)
        text += "\nOn the device, seconds for all layers: median (least–most).\n\n" + times
        text += "\nRatios of medians.\n\n" + ratios
        text += "\nWhole processes, seconds from start to exit.\n\n" + whole_table(bench)
        text += "\nThe rates of `src/similarity/cost.rs`.\n\n" + rates_table(bench, measured)
    print(text, end="")
    Path(args.out).write_text(text)
    return 1 if "failed (" in text else 0


if __name__ == "__main__":
    sys.exit(main())
