#!/bin/sh
# Installs the wheel of build.sh into a fresh environment and tests it there: the package, and the project's golden files and more
# with the program that the wheel brings.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/wheel/tools
environment=$target/wheel/installed
wheel=$(ls -t "$target"/wheels/inmerge_ckpt-*.whl | head -n 1)

rm -rf "$environment"
python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"
program=$environment/bin/inmerge-ckpt

echo "Checking what the program needs"
needed=$(ldd "$program" | sed 's/^[[:space:]]*//; s/ .*//')
for library in $needed; do
    case $library in
        linux-vdso.so.1 | libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | /lib64/ld-linux-x86-64.so.2) ;;
        *) echo "$program needs $library, which not every system has" >&2; exit 1 ;;
    esac
done
size=$(wc -c <"$wheel")
if [ "$size" -gt 15000000 ]; then
    echo "$wheel is of $size bytes, more than 15 million" >&2
    exit 1
fi
"$tools/bin/python" -m zipfile -l "$wheel" | grep -q LICENSE-OpenBLAS

echo "Testing the package"
cd "$root/python/tests"
FIXTURES=$root/fixtures "$environment/bin/python" -B -m unittest --quiet

echo "Testing the program (golden files, commands, watch)"
cd "$root"
INMERGE_PROGRAM=$program ${CARGO:-cargo} test --quiet --test integration -- golden:: commands:: watch:: torch_files:: trainer_folders:: limits::
