#!/usr/bin/env python3
"""Compiles kernels/inmerge.cu to kernels/inmerge.ptx with NVRTC, which needs neither a GPU nor a driver.

NVRTC is that of the PyPI package nvidia-cuda-nvrtc-cu12 in exactly the release VERSION: that of CUDA 12.0, whose PTX
every driver since 525 loads (a later one's PTX wants a later driver). Where target/nvrtc does not hold it, pip puts it
there; --nvrtc names another folder to which it has been unpacked.

The first lines of the PTX say from which sources it was made: the SHA-256 of all kernels/*.cu and *.cuh, in the order of
their names, each as its name, a zero byte, its contents and a zero byte. tests/kernels compares.
"""

import argparse
import ctypes
import hashlib
import subprocess
import sys
from pathlib import Path

VERSION = "12.0.140"
KERNELS = Path(__file__).resolve().parent
UNIT = KERNELS / "inmerge.cu"
PTX = KERNELS / "inmerge.ptx"
INSTALLED = KERNELS.parent / "target" / "nvrtc"

OPTIONS = [
    # The lowest architecture that CUDA 12 and 13 drivers both compile for; they compile it for all later ones.
    "--gpu-architecture=compute_75",
    "--std=c++17",
    # The definition of similarity rounds every product.
    "-fmad=false",
    # Otherwise generic lambdas are taken for host functions.
    "--device-as-default-execution-space",
    f"--include-path={KERNELS}",
]


def sources():
    """The source files by name."""
    files = [path for path in KERNELS.iterdir() if path.suffix in (".cu", ".cuh")]
    return sorted(files, key=lambda path: path.name.encode())


def digest():
    """The SHA-256 of the sources."""
    sha = hashlib.sha256()
    for path in sources():
        sha.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def install():
    """Has pip put NVRTC below target/."""
    package = f"nvidia-cuda-nvrtc-cu12=={VERSION}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(INSTALLED), package]
    print("installing", package, file=sys.stderr)
    subprocess.run(command, check=True)


def load(folder):
    """NVRTC, and the library of builtins that it opens by name."""
    libraries = Path(folder) / "nvidia" / "cuda_nvrtc" / "lib"
    for builtins in libraries.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(libraries / "libnvrtc.so.12"))


class Nvrtc:
    """The few of NVRTC's functions that it takes."""

    def __init__(self, library):
        self.library = library
        library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def check(self, status):
        if status != 0:
            raise SystemExit("NVRTC: " + self.library.nvrtcGetErrorString(status).decode())

    def version(self):
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.check(self.library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return f"{major.value}.{minor.value}"

    def text(self, program, what):
        size = ctypes.c_size_t()
        self.check(getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self.check(getattr(self.library, f"nvrtcGet{what}")(program, buffer))
        return buffer.value.decode()

    def compile(self, unit):
        program = ctypes.c_void_p()
        source, name = unit.read_bytes(), unit.name.encode()
        self.check(self.library.nvrtcCreateProgram(ctypes.byref(program), source, name, 0, None, None))
        options = (ctypes.c_char_p * len(OPTIONS))(*[option.encode() for option in OPTIONS])
        status = self.library.nvrtcCompileProgram(program, len(OPTIONS), options)
        log = self.text(program, "ProgramLog").strip()
        if log:
            print(log, file=sys.stderr)
        self.check(status)
        return self.text(program, "PTX")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvrtc", metavar="FOLDER", default=INSTALLED, type=Path)
    folder = parser.parse_args().nvrtc
    release = folder / f"nvidia_cuda_nvrtc_cu12-{VERSION}.dist-info"
    if not release.is_dir():
        if folder != INSTALLED:
            raise SystemExit(f"{folder} does not hold nvidia-cuda-nvrtc-cu12 {VERSION}")
        install()
    nvrtc = Nvrtc(load(folder))
    ptx = nvrtc.compile(UNIT)
    head = f"// Made by `make kernels`; not to be edited.\n// sources: {digest()}\n// nvrtc: {nvrtc.version()} ({VERSION})\n"
    PTX.write_text(head + ptx)
    print(f"{PTX.relative_to(KERNELS.parent)}: {len(ptx)} bytes, NVRTC {nvrtc.version()}")


if __name__ == "__main__":
    main()
