#!/bin/sh
# Tests the package, the quickstarts and the examples with the trainers themselves, in an environment of its own (target/python-tests;
# 8 GB, as PyTorch comes with CUDA from PyPI), and checks types and style there. Needs cargo, and python3 with venv.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
environment=$target/python-tests

if ! cmp -s "$root/python/tests/requirements.txt" "$environment/installed.txt"; then
    echo "Installing PyTorch and the trainers into $environment"
    python3 -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/python/tests/requirements.txt"
    cp "$root/python/tests/requirements.txt" "$environment/installed.txt"
fi

cd "$root/python"
echo "Looking for mistakes (mypy, ruff)"
"$environment/bin/python" -m mypy --cache-dir "$target/python-tests/mypy" inmerge_ckpt
"$environment/bin/python" -m ruff check --no-cache --config pyproject.toml . ../examples/quickstart

echo "Testing the package, the quickstarts and the examples"
cd "$root"
PATH=$environment/bin:$PATH INMERGE_REQUIRE_PYTHON=1 ${CARGO:-cargo} test --test integration -- --nocapture python_package:: examples:: trainers::
