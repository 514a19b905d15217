#!/usr/bin/env python3
"""Thins out the corpus of each target named, or of all: the few files that reach the most code stay, and what is named
found-* (needs nightly Rust and cargo-fuzz).

    fuzz/minimize.py [TARGET…]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

# Files of a target. What the last of them would add is a branch each.
MOST = 40

# Bytes: longer files are left out, as the tests make many inputs like each.
LONGEST = 2048


def reached(target, corpus):
    """By file, what it reaches: libFuzzer writes that where it merges corpora."""
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "control"
        merged = Path(folder) / "merged"
        merged.mkdir()
        # Only whether a branch is taken counts, not how often.
        flags = ["-set_cover_merge=1", "-use_counters=0", f"-merge_control_file={control}"]
        program = ["cargo", "+nightly", "fuzz", "run", "-s", "none", target, str(merged), str(corpus)]
        subprocess.run([*program, "--", *flags], cwd=HERE, check=True, stderr=subprocess.DEVNULL)
        lines = control.read_text().splitlines()
    count = int(lines[0])
    files = [Path(line) for line in lines[2 : 2 + count]]
    features = {}
    for line in lines[2 + count :]:
        kind, *numbers = line.split()
        if kind == "FT":
            number, *found = map(int, numbers)
            features[files[number]] = set(found)
    return features


def choose(features):
    """The files that reach the most, one after the other, each for what those before it do not reach."""
    left = {file: found for file, found in features.items() if file.stat().st_size <= LONGEST}
    known, chosen = set(), []
    while left and len(chosen) < MOST:
        best = min(left, key=lambda file: (-len(left[file] - known), file.stat().st_size, file.name))
        if not left[best] - known:
            break
        known |= left.pop(best)
        chosen.append(best)
    return chosen


for target in sys.argv[1:] or sorted(path.stem for path in (HERE / "fuzz_targets").glob("*.rs")):
    corpus = HERE / "corpus" / target
    files = {path.resolve() for path in corpus.iterdir()}
    kept = {path.resolve() for path in choose(reached(target, corpus.resolve()))}
    for path in files - kept:
        if not path.name.startswith("found-"):
            path.unlink()
    left = list(corpus.iterdir())
    print(f"{target}: {len(left)} files, {sum(path.stat().st_size for path in left)} bytes")
