#!/usr/bin/env bash
# Checks the program on this machine's NVIDIA GPU, with what tests/gpu/bundle.sh has put into target/gpu-check: needs no
# cargo, nor the machine that it was built on.
#
#   tests/gpu/check.sh [--small] [tests] [sanitizer] [times]      all three by default
#
#   tests       tests/integration/cuda.rs: the same plans, bytes and numbers as on the processor
#   sanitizer   compute-sanitizer over merges and an analysis, where it is installed
#   times       benches/gpu.py, where there is a python3
#
# --small leaves out what takes a real GPU, so that the check itself can be tried on the stand-in (benches/README.md).
# What comes of it goes to target/gpu-check/results, or to $OUT. Exit code 1 if anything failed or there is no GPU.
set -uo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
bundle=$project/target/gpu-check
results=${OUT:-$bundle/results}
program=$bundle/inmerge-ckpt

small=
parts=()
for word in "$@"; do
    case $word in
        --small) small=--small ;;
        tests|sanitizer|times) parts+=("$word") ;;
        *) echo "usage: $0 [--small] [tests] [sanitizer] [times]" >&2; exit 2 ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(tests sanitizer times)

if [ ! -x "$program" ]; then
    echo "gpu-check: there is nothing in $bundle; make gpu-bundle puts it there" >&2
    exit 1
fi
mkdir -p "$results"
desk=$(mktemp -d) || exit 1
trap 'rm -rf "$desk"' EXIT
log=$results/log.txt
summary=$desk/summary
: >"$log"
: >"$summary"

# Python and others are not to take the libraries that our program brings.
ours() {
    LD_LIBRARY_PATH=$bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"
}

# Runs something, whose output goes to the log too, and keeps what became of it for the end.
step() {
    local name=$1 start=$SECONDS became=passed
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 || became=FAILED
    [ "$became" = passed ] || failed=1
    printf '%-7s %s (%s s)\n' "$became" "$name" $((SECONDS - start)) >>"$summary"
}

left_out() {
    printf '%-7s %s: %s\n' "not run" "$1" "$2" >>"$summary"
}

check_tests() {
    local ignored=--include-ignored
    if [ -n "$small" ]; then
        ignored=
        left_out "wide layers, and every type by every screen, policy and threshold" "$small"
    fi
    # Each test takes a context or more on the GPU, of half a GB each.
    INMERGE_TEST_GPU=1 INMERGE_PROJECT=$project INMERGE_PROGRAM=$program \
        step "tests: the same bytes as on the processor" ours "$bundle/integration" cuda:: --test-threads=4 $ignored
}

sanitizer() {
    command -v compute-sanitizer && return
    local candidate
    for candidate in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda /usr/local/cuda-*; do
        if [ -n "$candidate" ] && [ -x "$candidate/bin/compute-sanitizer" ]; then
            echo "$candidate/bin/compute-sanitizer"
            return
        fi
    done
    return 1
}

check_sanitizer() {
    local sanitizer tool partner
    if ! sanitizer=$(sanitizer); then
        left_out "compute-sanitizer" "it is not on the PATH nor in CUDA_HOME, CUDA_PATH or /usr/local/cuda*"
        return
    fi
    # Kernels enough for blocks beside and below each other.
    local input=$desk/wide.safetensors
    "$bundle/whole" make scale600 "$input" || return
    for tool in memcheck racecheck initcheck; do
        for partner in eligible nearest random; do
            # A threshold of each layer's own has all three screened.
            step "$tool: merge --partner $partner" ours "$sanitizer" --tool "$tool" --error-exitcode 99 \
                "$program" merge "$input" "$desk/out.safetensors" --force --no-sync -q --backend cuda \
                --skip-shallow 0 --tau 20% --prob 1 --partner "$partner"
        done
        step "$tool: analyze" ours "$sanitizer" --tool "$tool" --error-exitcode 99 \
            "$program" analyze "$input" --report "$desk/report" --force --no-sync --no-spectrum -q --backend cuda \
            --skip-shallow 0
    done
}

check_times() {
    local python=${PYTHON:-python3}
    if ! command -v "$python" >/dev/null; then
        left_out "times" "there is no $python"
        return
    fi
    step "times" "$python" "$project/benches/gpu.py" --bundle "$bundle" --out "$results/gpu.md" $small
}

main() {
    failed=0
    echo "inmerge-ckpt $(cat "$bundle/commit") on $(uname -srm), $(date -u '+%Y-%m-%d %H:%M UTC')"
    ours "$program" doctor || return 1
    # A small merge says whether there is a GPU that can be used, and if not why.
    if ! ours "$program" merge "$project/fixtures/checkpoints/demo.safetensors" --dry-run -q --backend cuda; then
        echo "gpu-check: nothing was checked, for there is no GPU that can be used"
        return 1
    fi
    local part
    for part in "${parts[@]}"; do
        "check_$part"
    done
    printf '\n== What was run\n'
    cat "$summary"
    return "$failed"
}

main > >(tee "$log") 2>&1
code=$?
wait
exit "$code"
