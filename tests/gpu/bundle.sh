#!/usr/bin/env bash
# Puts what tests/gpu/check.sh runs into target/gpu-check: the program, the integration tests, the maker of the
# benchmarks' checkpoints, the libraries that they are linked with, OpenBLAS, which they load, and of the project what the
# check and the tests read. target/gpu-check.tar.gz holds the same, and is all that a machine with a GPU and no Rust needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
bundle=target/gpu-check

rm -rf "$bundle"
mkdir -p "$bundle/lib" "$bundle/project"

# The program that cargo has built for a target of this name.
executable() {
    sed -n 's/.*"name":"'"$1"'".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

built=$("$cargo" build --release --bin inmerge-ckpt --bench whole --message-format json-render-diagnostics)
tests=$("$cargo" test --no-run --test integration --message-format json-render-diagnostics)
cp "$(executable inmerge-ckpt <<<"$built")" "$bundle/inmerge-ckpt"
cp "$(executable whole <<<"$built")" "$bundle/whole"
cp "$(executable integration <<<"$tests")" "$bundle/integration"
strip "$bundle"/{inmerge-ckpt,whole,integration}

# glibc and libgcc_s are every machine's own, and must be of this one's version or newer there.
openblas=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk '$1 == "libopenblas.so.0" { print $NF; exit }')
cp -L "$openblas" "$bundle/lib/libopenblas.so.0"
for program in "$bundle"/{inmerge-ckpt,whole,integration} "$openblas"; do
    ldd "$program" | awk '$2 == "=>" { print $3 }'
done | sort -u | while read -r library; do
    case ${library##*/} in
        libc.so.*|libgcc_s.so.*|libm.so.*|libdl.so.*|librt.so.*|libpthread.so.*) ;;
        *) cp -L "$library" "$bundle/lib/" ;;
    esac
done
git describe --always --dirty >"$bundle/commit" 2>/dev/null || echo unknown >"$bundle/commit"
rustc --version >"$bundle/rustc"

# The check, its scripts, the fixtures, and what benches/gpu_tables.py reads and writes.
tar -c tests/gpu benches/gpu.py benches/gpu_tables.py benches/peers benches/README.md src/similarity/cost.rs \
    src/similarity/cuda/precision.rs fixtures/checkpoints | tar -x -C "$bundle/project"
tar -czf "$bundle.tar.gz" -C target gpu-check
du -sh "$bundle" "$bundle.tar.gz"
