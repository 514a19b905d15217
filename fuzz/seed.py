#!/usr/bin/env python3
"""Puts seeds into corpus/<target>, from the fixtures and by hand (needs python3 with numpy).

What fuzzing adds to them is thinned out by minimize.py.
"""

import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
sys.path.insert(0, str(FIXTURES))
from torch_file import Storage, Tensor, entries, torch_file  # noqa: E402

# Longer ones cost each run more than they tell.
LONGEST = 4096


def add(target, name, data):
    """Adds a seed."""
    data = data.encode() if isinstance(data, str) else data
    if len(data) <= LONGEST:
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def lines(*items):
    """Lines, of text or JSON."""
    return "".join((i if isinstance(i, str) else json.dumps(i)) + "\n" for i in items)


def checkpoint(header, size):
    """A checkpoint of this header and so many zeros."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


for path in sorted(FIXTURES.glob("hostile/*.safetensors")) + sorted(FIXTURES.glob("checkpoints/*.safetensors")):
    add("header", path.stem, path.read_bytes())
torch_files = sorted(FIXTURES.glob("hostile/torch-*")) + sorted(set(FIXTURES.glob("torch/*")) - set(FIXTURES.glob("torch/*.merged.*")))
for path in filter(Path.is_file, torch_files):
    add("torch", path.stem, path.read_bytes())
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")]
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError):
        continue
    for pickle in pickles:
        add("pickle", path.stem, pickle)
# Small enough for a change to hit what matters: two weights, and the momentum that an optimizer keeps of them.
weights, moments = ([Tensor(Storage("F32", bytes(72)), (2, 1, 3, 3)) for _ in range(2)] for _ in range(2))
state = {i: {"exp_avg": moment} for i, moment in enumerate(moments)}
groups = [{"params": [0, 1], "param_names": ["a", "b"]}], [{"params": [0, 1]}], [{"params": [0]}, {"params": [1]}]
for i, group in enumerate(groups):
    value = {"m": dict(zip("ab", weights)), "o": [{"state": state, "param_groups": group}]}
    add("pickle", f"momentum-{i}", dict(entries(value))["archive/data.pkl"])
    add("torch", f"momentum-{i}", torch_file(value, align=1))
DTYPES = {"BOOL": 8, "F4": 4, "F8_E4M3": 8, "F8_E8M0": 8, "BF16": 16, "F16": 16, "I32": 32, "F64": 64, "C64": 64}
tensors, end = {"__metadata__": {"format": "pt", "inmerge.layers": '["F16"]'}}, 0
for dtype, bits in DTYPES.items():
    tensors[dtype] = {"dtype": dtype, "shape": [2, 1], "data_offsets": [end, end + bits // 4]}
    end += bits // 4
add("header", "dtypes", checkpoint(tensors, end))
scalar = {"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}, "b": {"dtype": "U8", "shape": [0], "data_offsets": [4, 4]}}
add("header", "scalar", checkpoint(scalar, 4))
add("header", "nothing", checkpoint({}, 0))

add("index", "usual", json.dumps({"metadata": {"total_size": 12}, "weight_map": {"a.weight": "m-1.safetensors", "b": "m-2.safetensors"}}, indent=2))
add("index", "bare", '{"weight_map":{"a":"x","b":"x"},"more":[1,{"total_size":2}]}')
add("index", "null", '{"metadata":null,"weight_map":{"\\u00e4":"\\u00e4"}}')
add("index", "float", '{"weight_map":{"a":"x"},"metadata":{"note":"n","total_size": 12.0 }}')
add("index", "outside", '{"weight_map":{"a":"../x"}}')

plans = sorted(FIXTURES.glob("golden/*.plan.json"))
for path in plans:
    plan = json.loads(path.read_text())
    for layer in plan["layers"]:
        layer["merges"] = layer["merges"][:2]
    plan["layers"], plan["skipped"] = plan["layers"][:2], plan["skipped"][:2]
    add("plan", path.stem, json.dumps(plan))

for path in sorted(FIXTURES.glob("configs/*.toml")):
    add("settings", path.stem, path.read_bytes())
add("settings", "all", lines(
    'tau = "5%"', "alpha = 0.8", "prob = 1", "skip-shallow = 4", 'partner = "nearest"', "rounds = 2", "seed = 7",
    'include = ["block.*", "stem?weight"]', 'exclude = ["{fc,head}*"]', 'kinds = ["conv", "pointwise", "depthwise"]',
    "[[layer]]", 'match = "block.[0-9]*"', "tau = 0.5", "alpha = 1.0", "prob = 0.3"))
add("settings", "alias", "skip_shallow = 0\npartner = 'random'\ntau = -0.5\n")
add("settings", "wrong", "tau = 2\n")

NET = ["stem", "block.0", "block.1", "ema.block.1", "depthwise", "grouped", "gate", "up", "head", "volume", "fc"]
add("order", "fixture", (FIXTURES / "configs/order.txt").read_bytes())
add("order", "net", lines("# stem first", "", *(f"  {name}.weight" for name in NET)))
add("order", "windows", "\ufeffstem.weight\r\nblock.0.weight\r\n")
SAID = {"depthwise": {"kind": "depthwise", "groups": 8}, "grouped": {"groups": 2}, "gate": {"kind": "pointwise", "gate": True},
        "up": {"kind": "transposed", "groups": 1}, "head": {"kind": "conv", "head": True}, "fc": {"kind": "linear", "head": False},
        "ema.block.1": {"copy_of": "block.1.weight"}}
said = [{"name": f"{name}.weight", **SAID[name]} if name in SAID else f"{name}.weight" for name in NET]
for target in ["layers", "metadata"]:
    add(target, "names", json.dumps([f"{name}.weight" for name in NET]))
    add(target, "said", json.dumps(said))
    add(target, "some", json.dumps(said[:6]))
    add(target, "wrong", json.dumps([{"name": "stem.weight", "groups": 5}]))
    add(target, "none", "[]")

BASE = "0123456789abcdef"
SCOPE = {"label": "block.1", "first": 2, "last": 3}
OUTCOMES = [{"status": "scored", "score": 0.1}, {"status": "measured", "effective_rank": 0.9, "mean_nearest": None},
            {"status": "failed", "why": "it printed nothing", "output": "a\nb \u00fc"}]
POINTS = [{"series": "baseline", "set": {}, "repeat": 0, "seed": 2**64 - 1},
          {"series": "layer", "set": {"layers": SCOPE, "tau": "5%"}, "repeat": 1, "seed": 1},
          {"series": "grid", "set": {"tau": 0.5, "alpha": 0.1, "prob": 1.0, "skip_shallow": 3}, "repeat": 0, "seed": 0}]
MERGING = {"layers": 1, "kernels": 8, "merged": 2, "relative_change": 0.1}
made = [{"base": BASE, "result": {"point": point, "merging": MERGING, "outcome": outcome, "seconds": 0.5}}
        for point, outcome in zip(POINTS, OUTCOMES)]
for number, line in enumerate(made):
    add("journal", f"line-{number}", lines(line))
add("journal", "torn", lines(*made).encode()[:-70])
add("journal", "blank", "\n\n" + lines(made[0]))
add("journal", "foreign", lines({**made[0], "base": "fedcba9876543210"}))
add("journal", "spelt", lines(made[2]).replace("\\u00fc", "\u00fc"))

layer = {"name": "a", "copies": ["b"], "depth": 1, "kind": "conv", "groups": 1, "kernels": 8, "tau": 0.3, "alpha": 0.8, "prob": 0.3}
sweep = {"checkpoint": "net.safetensors", "source": {"file": "net.safetensors", "bytes": 9, "header_sha256": "00"}, "content_sha256": "11",
         "parameters": json.loads(plans[0].read_text())["parameters"], "allow_nonfinite": False, "layers": [layer, {**layer, "depth": 2}],
         "evaluator": {"command": "score {checkpoint}", "metric": "auc", "seconds": 60}, "points": POINTS}
for name, change in [("scored", {}), ("measured", {"evaluator": None}), ("bare", {"layers": [], "points": []}),
                     ("unready", {"evaluator": {"command": "", "metric": None, "seconds": 1}})]:
    add("sweep", name, json.dumps({"format": "inmerge-sweep", "version": 1, "tool": "inmerge-ckpt", "sweep": {**sweep, **change}}))

head = {"format": "inmerge-watch", "version": 1, "tool": "inmerge-ckpt 0.1.0", "settings": {"tau": 0.3, "layer": []}}
entry = {"name": "epoch-1.safetensors", "source": {"bytes": 9, "modified_ns": 1}, "header_sha256": "00", "seed": 2**64 - 1,
         "output": {"bytes": 9, "modified_ns": -5}}
add("record", "head", lines(head))
add("record", "done", lines(head, {"event": "publishing", **entry}, {"event": "done", **entry}))
add("record", "torn", lines(head, {"event": "publishing", **entry}) + '{"event":"do')
add("record", "wrong", lines(head, {"event": "done"}))

title, *names = (HERE.parent / "reports/sample/report.files").read_text().splitlines()
add("report_files", "sample", lines(title, *names[:3], *names[-3:]))
add("report_files", "strange", lines(title, "../x", "/etc/passwd", "a/../b", "./a", "a//b", "a/", "\u00fc", "a"))
add("report_files", "cut", lines(title, "report.files") + "index.h")
add("report_files", "other", lines("another list", "index.html"))

VALUES = ["0.5", "-0.25", "5%", "1e-300", "eligible", "nearest", "random", "auto", "cpu", "cuda:1", "transposed", "2/8", "alpha,prob",
          "tau, skip-shallow", "90", "2h 5m", "0.05", "layers", "layers=each,past", "tau=0.1:0.9:0.1", "tau=-0.5:0.5:0.25",
          "tau=5%:20%:7.5%", "alpha=0.9, 0.1,0.5", "prob=0.3,0.5:1:0.25", "skip-shallow=0:20:10,3", "prob=0:1:0.0001"]
add("flags", "all", lines(*VALUES))
for number, value in enumerate(VALUES):
    add("flags", f"value-{number:02}", value)

for number, glob in enumerate(["layer4.*", "*/Conv2D/*", "block.?.weight", "{a,b,}*", "[a-c]x", "[!a]\\*", "**/a", "a/**", "a**b", "{{a}}"]):
    add("patterns", f"glob-{number}", lines(glob, "layer4.0.conv1.weight", "block.1.weight", "a/Conv2D/b", "ax", "bx*", "a"))
