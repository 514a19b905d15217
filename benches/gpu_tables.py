#!/usr/bin/env python3
"""Makes the tables of what was measured on a GPU: in benches/README.md, and in src/similarity/cost.rs, whose constants
`--backend auto` chooses by.

    python3 benches/gpu_tables.py target/gpu-check/results/gpu.json …    takes results in, and makes the tables anew
    python3 benches/gpu_tables.py --check                                says whether the tables are those of the results
    python3 benches/gpu_tables.py --markdown gpu.json                    prints the tables of one file and changes nothing

The results are those of `make gpu-check`: one file, or one of each of its calls, of the same commit and GPU. They are kept,
put together, in benches/gpu.json, of which the tables are made; while there is none, everything is as it was assumed. A rate
that was not measured stays what it was assumed to be, and says so. Needs Python only.
"""
import argparse
import json
import re
import statistics
import sys
from pathlib import Path

PRECISIONS = ("f32", "tf32", "bf16")
CASES = {
    "wide512": "[512,512,3,3]",
    "wide2048": "[2048,512,3,3]",
    "wide4096": "[4096,512,3,3]",
    "wide8192": "[8192,256,3,3]",
    "resnet50": "ResNet-50",
}
# Rates are taken from the first of these that was measured: large layers are what a GPU is for.
RATES_FROM = ("wide8192", "wide4096", "wide2048", "wide512")
CONTENDERS = ("ours, cuda", "ours, auto", "ours, cpu", "PyTorch script")
NOT_RUN = "not yet run"

README = "benches/README.md"
COST = "src/similarity/cost.rs"
PRECISION = "src/similarity/cuda/precision.rs"
KEPT = "benches/gpu.json"

# What src/similarity/cost.rs assumes of a GPU while nothing is measured: value and source.
ASSUMED = {
    "share f32": (0.5, "assumed"),
    "share tf32": (0.5, "assumed"),
    "share bf16": (0.5, "assumed"),
    "bus": (6.0e9, "assumed (PCIe 3.0 ×16, about half)"),
    "layer": (0.3e-3, "assumed"),
    "start": (1.0, "assumed"),
}


class Refused(Exception):
    """Why tables cannot be made of these results."""


def merged(documents):
    """The results of several calls as those of one: of each step the last, and the first times there are."""
    for document in documents:
        if document.get("format") != "inmerge-gpu-check" or document.get("version") != 1:
            raise Refused("this is no gpu.json of make gpu-check")
    first = documents[0]
    for key in ("commit", "small"):
        if any(document[key] != first[key] for document in documents):
            raise Refused(f"the files differ in their {key}: give those of one check")
    if len({json.dumps(gpu_of(document)) for document in documents}) > 1:
        raise Refused("the files are of different GPUs: give those of one")
    steps = {}
    for document in documents:
        for step in document["steps"]:
            known = steps.get((step["part"], step["name"]))
            if known is None or known["outcome"] == "not run":
                steps[step["part"], step["name"]] = step
    times = next((document["times"] for document in documents if document["times"]), None)
    return {**first, "steps": list(steps.values()), "times": times}


def gpu_of(document):
    """The GPU that was used: the first that `doctor` finds nothing wrong with."""
    gpus = (document.get("doctor") or {}).get("gpus") or []
    usable = [gpu for gpu in gpus if not gpu["problem"]] or gpus
    keys = ("name", "compute_capability", "multiprocessors", "clock_mhz")
    return {key: usable[0][key] for key in keys} if usable else None


def listed(times, *path):
    """What was measured at a place of the results: a list, which may be empty, or why there is none."""
    value = times or {}
    for key in path:
        if isinstance(value, list):
            value = value[0] if value and isinstance(key, str) else {}
        value = value.get(key, []) if isinstance(value, dict) else []
        if isinstance(value, dict) and ("failed" in value or "left out" in value):
            return ": ".join(next(iter(value.items())))
    return value


def significant(number):
    """At least three places, in full."""
    return f"{number:.6f}" if abs(number) < 0.01 else f"{number:.4f}" if abs(number) < 1 else f"{number:.3f}"


def cell(measured):
    """The median, and in brackets the least and the most; or why there is none."""
    if isinstance(measured, str):
        return measured.replace("|", "/")
    if not measured:
        return NOT_RUN
    middle, least, most = (significant(number) for number in (statistics.median(measured), min(measured), max(measured)))
    return f"{middle} ({least}–{most})"


def ratio(over, under):
    if not over or not under or isinstance(over, str) or isinstance(under, str):
        return "–"
    under = statistics.median(under)
    return f"{statistics.median(over) / under:.2f}" if under > 0 else "–"


def table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    first, rule, *rest = [f"| {' | '.join(line)} |\n" for line in lines]
    return first + rule.replace(" ", "") + "".join(rest)


def part_of(pairs, index):
    return pairs if isinstance(pairs, str) else [pair[index] for pair in pairs]


def device_columns(times, case, precision):
    ours = listed(times, "device", case, precision)
    peer = [listed(times, "peers", case, precision, step) for step in ("whole", "compute", "copy", "product")]
    return [part_of(ours, 0), part_of(ours, 1), *peer]


def cases_of(times):
    return (times or {}).get("cases") if (times or {}).get("small") else CASES


def code(label):
    return f"`{label}`" if label.startswith("[") else label


def device_table(times):
    rows = [
        [f"{code(label)}, {precision}"] + [cell(column) for column in device_columns(times, case, precision)]
        for case, label in cases_of(times).items()
        for precision in PRECISIONS
    ]
    header = ["seconds on the device", "ours", "ours, no copy", "PyTorch", "PyTorch, no copy", "bare copy", "bare product"]
    return table(header, rows)


def ratio_table(times):
    rows = []
    for case, label in cases_of(times).items():
        for precision in PRECISIONS:
            whole, compute, peer_whole, peer_compute, copy, product = device_columns(times, case, precision)
            half = product if isinstance(product, str) else [seconds / 2 for seconds in product]
            pairs = [(peer_whole, whole), (peer_compute, compute), (whole, copy), (compute, product), (compute, half)]
            rows.append([f"{code(label)}, {precision}"] + [ratio(*pair) for pair in pairs])
    header = ["ratios of medians", "PyTorch / ours", "the same, no copy", "ours / bare copy"]
    return table(header + ["ours, no copy / bare product", "/ half of it"], rows)


def whole_table(times):
    rows = [
        [code(label)]
        + [cell(listed(times, "whole", case, contender)) for contender in CONTENDERS]
        + [cell(listed(times, "peer_start"))]
        for case, label in cases_of(times).items()
    ]
    return table(["seconds, whole processes", *CONTENDERS, "its start"], rows)


def multiply_adds_per_cycle(precision_rs, capability, precision):
    """As src/similarity/cuda/precision.rs has it: what the data sheets say."""
    major, minor = (int(number) for number in capability.split("."))
    arms = re.findall(r"^ +(?:\((\.\.)?(\d+), (_|\d+)\)|(_)) => \[([\d., ]+)\],$", precision_rs, re.M)
    if not arms:
        raise Refused(f"{PRECISION} has no table of multiply-adds a cycle any more")
    for below, arm_major, arm_minor, anything, numbers in arms:
        is_major = anything or (major < int(arm_major) if below else major == int(arm_major))
        if is_major and (anything or arm_minor in ("_", str(minor))):
            return float(numbers.split(",")[PRECISIONS.index(precision)])
    raise Refused(f"{PRECISION} has no multiply-adds a cycle for {capability}")


def measured_rates(document, precision_rs):
    """The rates of src/similarity/cost.rs, as lists of what was measured, where it was."""
    times, gpu = document["times"], gpu_of(document)
    rates = {"start": listed(times, "start"), "layer": listed(times, "layer")}
    for precision in PRECISIONS:
        for case in RATES_FROM:
            pairs = listed(times, "device", case, precision)
            if not pairs or isinstance(pairs, str):
                continue
            n, inputs = (int(number) for number in re.findall(r"\d+", CASES[case])[:2])
            d = inputs * 9
            if precision == "f32":
                # A difference of two runs can come out at nothing on a layer that takes next to nothing.
                rates["bus"] = [4 * n * d / (pair[0] - pair[1]) for pair in pairs if pair[0] > pair[1]]
            if gpu and gpu["clock_mhz"]:
                cycles = gpu["multiprocessors"] * gpu["clock_mhz"] * 1e6
                peak = cycles * multiply_adds_per_cycle(precision_rs, gpu["compute_capability"], precision)
                rates[f"share {precision}"] = [n * n * d / 2 / pair[1] / peak for pair in pairs if pair[1] > 0]
            break
    return {name: seconds for name, seconds in rates.items() if seconds and not isinstance(seconds, str)}


def rates_of(document, precision_rs):
    """Value and source of every rate."""
    rates = dict(ASSUMED)
    if document and document["times"]:
        gpu = gpu_of(document)
        source = f"measured: {gpu['name'] if gpu else 'a GPU'}, {document['commit']}, {document['date']}"
        for name, seconds in measured_rates(document, precision_rs).items():
            value = float(f"{statistics.median(seconds):.3g}")
            if value > 0:
                rates[name] = (value, source)
    return rates


def rust(number):
    """A float of Rust's: digits, a point, and an exponent where it saves zeros."""
    text = repr(number)
    if 1e-2 <= number < 1e4:
        return text
    mantissa, exponent = f"{number:.2e}".split("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{int(exponent)}"


def quantity(number):
    """A number as a sentence has it."""
    return f"{number / 1e9:.3g}·10⁹" if number >= 1e9 else f"{number:.3g}"


def measured_on(rates):
    """The GPU of which there are measured rates; none while there are none."""
    sources = [source for _, source in rates.values() if source.startswith("measured: ")]
    return sources[0].removeprefix("measured: ").split(",")[0] if sources else None


def cost_table(rates):
    rows = [("multiply-adds a cycle", "see [`DevicePrecision::multiply_adds_per_cycle`]", "data sheets")]
    for precision in PRECISIONS:
        value, source = rates[f"share {precision}"]
        rows.append((f"share of that peak which cuBLAS and the screen reach together, in {precision}", quantity(value), source))
    value, source = rates["bus"]
    rows.append(("bytes of the weight over the bus, from memory that is not pinned", f"{quantity(value)} /s", source))
    value, source = rates["layer"]
    rows.append(("for each layer: launches, the wait for the results", f"{value * 1e3:.3g} ms", source))
    value, source = rates["start"]
    start = "for each run: starting the driver, a context, cuBLAS; the driver's compilation of our kernels"
    rows.append((start, f"{value:.3g} s", source))
    gpu = measured_on(rates)
    if gpu:
        text = f"//! **Those of a GPU are measured on one {gpu}, where they say so, and serve for all.**\n"
    else:
        text = "//! **Only those of the CPU are measured. Those of GPUs are assumed or from data sheets.**\n"
    text += "//!\n//! | a GPU | | from |\n//! |---|---|---|\n"
    return text + "".join(f"//! | {' | '.join(row)} |\n" for row in rows)


def cost_constants(rates):
    gpu = measured_on(rates)
    of = f"the GPU's rates are those measured on {gpu}" if gpu else "the GPU's rates are those of data sheets"
    source = f"pub const SOURCE: &str = {json.dumps(of, ensure_ascii=False)};"
    if len(source) > 100:
        source = source.replace(" = ", " =\n    ", 1)
    shares = ", ".join(rust(rates[f"share {precision}"][0]) for precision in PRECISIONS)
    return f'''/// GPU: share of its peak rate that is reached, in float32, TF32 and bfloat16.
const SHARE_OF_PEAK: [f64; 3] = [{shares}];

/// GPU: bytes a second over the bus, from pageable memory.
const BUS: f64 = {rust(rates["bus"][0])};

/// GPU: seconds for every layer, however small.
const LAYER: f64 = {rust(rates["layer"][0])};

/// GPU: seconds to start it, once a run.
pub const START: f64 = {rust(rates["start"][0])};

/// Where the GPU's rates come from.
{source}
'''


def facts(document):
    times, gpu = document["times"] or {}, gpu_of(document)
    doctor = document.get("doctor") or {}
    known = {
        "GPU": gpu and f"{gpu['name']}, compute capability {gpu['compute_capability']}, "
        f"{gpu['multiprocessors']} multiprocessors, {gpu['clock_mhz']} MHz",
        "NVIDIA driver": doctor.get("nvidia_driver"),
        "cuBLAS": ((doctor.get("cublas") or {}).get("found") or {}).get("version"),
        "system": document["system"],
        "rustc": document.get("rustc"),
        **times.get("machine", {}),
        "commit": document["commit"],
        "date": document["date"],
    }
    return "".join(f"- {name}: {fact}\n" for name, fact in known.items() if fact)


def steps_table(steps):
    rows = [
        [f"{step['part']}: {step['name']}", step["outcome"], str(step["seconds"]), (step["problem"] or "").replace("|", "/")]
        for step in steps
    ]
    return table(["step", "outcome", "s", ""], rows)


def rates_table(rates):
    names = {
        "start": "`START`, s",
        "layer": "`LAYER`, s",
        "bus": "`BUS`, bytes/s",
        "share f32": "`SHARE_OF_PEAK`, f32",
        "share tf32": "`SHARE_OF_PEAK`, tf32",
        "share bf16": "`SHARE_OF_PEAK`, bf16",
    }
    rows = [[label, quantity(rates[name][0]), rates[name][1]] for name, label in names.items()]
    return table(["rate of `src/similarity/cost.rs`", "", "from"], rows)


def readme_section(document, precision_rs):
    times = document and document["times"]
    if not document:
        text = "### Not yet run on a GPU\n\n"
        text += "No GPU could be had so far: no number is known. `benches/gpu_tables.py` fills the cells from `gpu.json`.\n\n"
        return text + device_table(None) + "\n" + whole_table(None)
    text = "### As measured\n\n" if times else "### Checked, not yet timed\n\n"
    text += facts(document) + "\nMedian (least–most) of the repetitions.\n\n" if times else facts(document) + "\n"
    text += device_table(times) + "\n"
    if times:
        text += ratio_table(times) + "\n"
    text += whole_table(times) + "\n"
    if times:
        text += rates_table(rates_of(document, precision_rs)) + "\n"
    return text + steps_table(document["steps"])


def between(text, begin, end, new, path):
    """The text with something new between two lines that begin so."""
    pattern = re.compile(rf"(^{re.escape(begin)}[^\n]*\n)(.*?)(^{re.escape(end)}[^\n]*$)", re.M | re.S)
    if len(pattern.findall(text)) != 1:
        raise Refused(f"{path} has not one place between «{begin}» and «{end}»")
    return pattern.sub(lambda found: found[1] + new + found[3], text)


def made(project, document):
    """The files with tables, as they are to be: path and text."""
    read = {path: (project / path).read_text() for path in (README, COST, PRECISION)}
    rates = rates_of(document, read[PRECISION])
    readme = readme_section(document, read[PRECISION])
    cost = between(read[COST], "//! <!-- gpu rates", "//! <!-- end", cost_table(rates), COST)
    cost = between(cost, "// Made by benches/gpu_tables.py", "// End of", cost_constants(rates) + "\n", COST)
    return {
        README: between(read[README], "<!-- gpu tables", "<!-- end", "\n" + readme + "\n", README),
        COST: cost,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", help="gpu.json of make gpu-check, or one of each of its calls")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a table is another")
    parser.add_argument("--markdown", action="store_true", help="change nothing; print the tables")
    parser.add_argument("--project", type=Path, default=Path(__file__).resolve().parent.parent)
    args = parser.parse_args()
    kept = args.project / KEPT
    try:
        documents = [json.loads(Path(path).read_text()) for path in args.results]
        if not documents and kept.exists():
            documents = [json.loads(kept.read_text())]
        document = merged(documents) if documents else None
        if args.markdown:
            if document and document["small"]:
                print("**A trial of the check, not a measurement.**\n")
            print(readme_section(document, (args.project / PRECISION).read_text()), end="")
            return 0
        if document and document["small"]:
            raise Refused("this is a trial of the check (--small): nothing in it was measured on a GPU")
        files = made(args.project, document)
    except (Refused, OSError, ValueError, KeyError) as error:
        print(f"gpu_tables.py: {error if isinstance(error, Refused) else repr(error)}", file=sys.stderr)
        return 1
    if args.check:
        others = [path for path, text in files.items() if (args.project / path).read_text() != text]
        for path in others:
            print(f"{path}: not as made of {KEPT if document else 'what is assumed'}; run python3 benches/gpu_tables.py")
        return 1 if others else 0
    if args.results:
        kept.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for path, text in files.items():
        (args.project / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
