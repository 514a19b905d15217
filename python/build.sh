#!/bin/sh
# Builds a wheel that runs on any Linux with glibc 2.17 (x86-64), and beside it the same program as a tarball with completion
# scripts and manual pages. Needs a C compiler, cargo, and python3 with venv; a static OpenBLAS (Debian's) and zig (from PyPI, for the old glibc) are
# fetched. The results are in target/wheels.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
stage=$target/wheel
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)

if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "The wheel is built on Linux x86-64 only; elsewhere build from source: make install" >&2
    exit 1
fi

# Installs Debian's packages where they are missing.
missing() {
    if ! command -v apt-get >/dev/null; then
        echo "$1 is missing. Install it first (Debian: $2)." >&2
        exit 1
    fi
    echo "$1 is missing: installing $2"
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends $2 >/dev/null
}

static_openblas() { find /usr/lib -path '*/openblas-pthread/libopenblas.a' 2>/dev/null | head -n 1; }

python3 -c 'import ensurepip, venv' 2>/dev/null || missing "Python's venv" "python3 python3-venv"
[ -n "$(static_openblas)" ] || missing "A static OpenBLAS" libopenblas-pthread-dev

mkdir -p "$stage" "$target/wheels"
tools=$stage/tools
if ! "$tools/bin/python" -c 'import maturin, ziglang' 2>/dev/null; then
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check 'maturin>=1.9,<2' 'ziglang>=0.15,<0.18'
fi

# OpenBLAS as a shared library with what the program calls, for the same glibc. The program carries it and loads it when it
# computes (src/blas/bundled.rs).
functions="cblas_sgemm cblas_dgemm cblas_ssyrk dsyev_ dgeqrt_ dsbev_2stage_ openblas_set_num_threads openblas_get_config blas_thread_shutdown_
    blas_memory_alloc blas_memory_free"
wanted=
for function in $functions; do wanted="$wanted -Wl,-u,$function"; done
{ echo "{ global:"; for function in $functions; do echo "$function;"; done; echo "local: *; };"; } >"$stage/openblas.map"
"$tools/bin/python" -m ziglang cc -target x86_64-linux-gnu.2.17 -shared -s -o "$stage/libopenblas.so" $wanted \
    "-Wl,--version-script=$stage/openblas.map" "$(static_openblas)" -lpthread -lm -ldl

# A copy, so that what the wheel needs besides does not lie about in the sources.
rm -rf "$stage/python"
cp -r "$root/python" "$stage/python"
cp "$root/README.md" "$root/LICENSE" "$stage/python/"
{
    echo "inmerge-ckpt carries OpenBLAS and the parts of LAPACK in it. Their licences, as Debian states them:"
    for package in libopenblas-pthread-dev liblapack-dev liblapack3; do
        if [ -f "/usr/share/doc/$package/copyright" ]; then echo; cat "/usr/share/doc/$package/copyright"; fi
    done
} >"$stage/python/LICENSE-OpenBLAS"
sed -i "s|^manifest-path = .*|manifest-path = \"$root/Cargo.toml\"|" "$stage/python/pyproject.toml"

cd "$stage/python"
PATH=$tools/bin:$PATH INMERGE_OPENBLAS=$stage/libopenblas.so CARGO_TARGET_DIR=$target \
    "$tools/bin/maturin" build --release --zig --compatibility manylinux2014 --target x86_64-unknown-linux-gnu \
    --features bundled-openblas --out "$target/wheels"

# The same program without Python.
program=$stage/inmerge-ckpt-$version-x86_64-linux
rm -rf "$program"
mkdir -p "$program"
wheel=$(ls -t "$target"/wheels/inmerge_ckpt-"$version"-*.whl | head -n 1)
"$tools/bin/python" - "$wheel" "$program" <<'PYTHON'
import pathlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("/scripts/inmerge-ckpt"))
    program = pathlib.Path(sys.argv[2]) / "inmerge-ckpt"
    program.write_bytes(wheel.read(name))
    program.chmod(0o755)
PYTHON
cp "$stage/python/README.md" "$stage/python/LICENSE" "$stage/python/LICENSE-OpenBLAS" "$program/"
mkdir "$program/completions"
for shell in bash zsh fish; do
    "$program/inmerge-ckpt" completions "$shell" >"$program/completions/inmerge-ckpt.$shell"
done
mkdir -p "$program/man/man1"
"$program/inmerge-ckpt" man >"$stage/man"
(cd "$program/man/man1" && awk '/^\.\\" inmerge-ckpt.*\.1$/ { page = $2 } { print >page }' "$stage/man")
tar -C "$stage" -czf "$target/wheels/$(basename "$program").tar.gz" "$(basename "$program")"
ls -l "$target/wheels"
