#!/usr/bin/env bash
# Checks the program on this machine's NVIDIA GPU, with what tests/gpu/bundle.sh has put together: needs no cargo, nor the
# machine that it was built on.
#
#   tests/gpu/check.sh [--small] [--seconds N] [tests] [exhaustive] [wide] [sanitizer] [times]      all by default
#
#   tests       tests/integration/cuda.rs: the same plans, bytes and numbers as on the processor
#   exhaustive  of these, every type by every screen, policy and threshold
#   wide        of these, layers of 8192 kernels
#   sanitizer   compute-sanitizer over merges and an analysis, where it is installed
#   times       benches/gpu.py, where there is a python3
#
# Two calls, of five minutes each at most (--seconds 285, a call): all but times, and times. A part that fails, or finds no
# time, stops no other. Without a word both calls are made, one after the other.
#
# --small leaves out what takes a real GPU, so that the check itself can be tried on the stand-in (benches/README.md).
#
# Goes to target/gpu-check/results, or to $OUT: gpu.json, with the outcome of every step, the machine, versions and times,
# from which benches/gpu_tables.py makes its tables; gpu.md, the same tables to read; log.txt, all that was said. What is
# printed is short, and ends with the first thing to mend. Exit code 1 if anything failed or there is no GPU.
set -uo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
# The bundle holds a copy of the project; or the project the bundle.
bundle=$project/target/gpu-check
if [ -x "$project/../inmerge-ckpt" ]; then
    bundle=$(cd "$project/.." && pwd)
fi
results=${OUT:-$bundle/results}
program=$bundle/inmerge-ckpt
python=${PYTHON:-python3}

small=
seconds=285
parts=()
while [ $# -gt 0 ]; do
    case $1 in
        --small) small=--small ;;
        --seconds) shift; seconds=${1:-} ;;
        tests|exhaustive|wide|sanitizer|times) parts+=("$1") ;;
        *) sed -n '5s/^# *//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
if ! [ "$seconds" -gt 0 ] 2>/dev/null; then
    echo "gpu-check: --seconds takes a number of seconds" >&2
    exit 2
fi
[ ${#parts[@]} -gt 0 ] || parts=(tests exhaustive wide sanitizer times)

if [ ! -x "$program" ]; then
    echo "gpu-check: there is nothing in $bundle; make gpu-bundle puts it there" >&2
    exit 1
fi
mkdir -p "$results" || exit 1
desk=$(mktemp -d) || exit 1
trap 'rm -rf "$desk"' EXIT
log=$results/log.txt
# Python and others are not to take the libraries that our program brings.
ours=(env "LD_LIBRARY_PATH=$bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
commit=$(cat "$bundle/commit")
failed=0
to_mend=
began=$SECONDS

# What earlier calls left here counts, if it is of this program.
if [ "$(cat "$results/commit.txt" 2>/dev/null)" != "$commit" ]; then
    rm -f "$results"/{steps.jsonl,times.json,gpu.json,gpu.md,log.txt}
    echo "$commit" >"$results/commit.txt"
fi
touch "$results/steps.jsonl"

say() {
    printf '%s\n' "$*" | tee -a "$log" | cut -c1-300
}

# A string of JSON; of other characters than ASCII's nothing is left.
quoted() {
    printf '"%s"' "$(printf %s "$1" | LC_ALL=C tr '\t\r\n' '   ' | LC_ALL=C tr -cd ' -~' | cut -c1-400 | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

# part, name, outcome, seconds, problem
record() {
    local problem=null
    [ -z "$5" ] || problem=$(quoted "$5")
    printf '{"part":%s,"name":%s,"outcome":%s,"seconds":%s,"problem":%s}\n' \
        "$(quoted "$1")" "$(quoted "$2")" "$(quoted "$3")" "$4" "$problem" >>"$results/steps.jsonl"
    say "$(printf '%-9s %s (%s s)%s' "$3" "$2" "$4" "${5:+: $5}")"
}

left_out() {
    record "$1" "$2" "not run" 0 "$3"
}

# What in a step's output says best what is wrong: what a tool or the program says, or a test that failed.
problem_in() {
    local pattern
    for pattern in '^error: ' '^========= (Invalid|Error|Warning|Uninitialized|Program)' 'panicked at' '^test .* FAILED' '[Ee]rror'; do
        if grep -q -E -e "$pattern" "$1"; then
            grep -m 1 -E -A 1 -e "$pattern" "$1" | tr '\n' ' ' | sed 's/ *$//' | cut -c1-300
            return
        fi
    done
    tail -n 1 "$1" | cut -c1-300
}

# Runs a command of a part, for so many seconds at most; what it says goes to the log.
step() {
    local part=$1 name=$2 most=$3 start=$SECONDS left code problem=
    shift 3
    left=$((seconds - (SECONDS - began)))
    if [ "$left" -lt 5 ]; then
        left_out "$part" "$name" "no time was left of the call's $seconds s; call again: $0 $part"
        return
    fi
    [ "$most" -gt "$left" ] && most=$left
    printf '\n== %s: %s\n' "$part" "$name" >>"$log"
    timeout --kill-after=5 "$most" "$@" >"$desk/step.txt" 2>&1
    code=$?
    cat "$desk/step.txt" >>"$log"
    if [ "$code" = 0 ]; then
        record "$part" "$name" passed $((SECONDS - start)) ""
        return
    fi
    failed=1
    problem=$(problem_in "$desk/step.txt")
    problem=${problem:-exit code $code}
    local became=FAILED unended
    if [ "$code" = 124 ] || [ "$code" = 137 ]; then
        became="timed out"
        # Tests that were known to be slow, and had not ended.
        unended=$(awk '/ has been running for over /{slow[$2]} / \.\.\. /{delete slow[$2]} END{for (test in slow) printf " %s", test}' \
            "$desk/step.txt")
        problem="longer than $most s${unended:+, at$unended}; it says: $problem"
    fi
    record "$part" "$name" "$became" $((SECONDS - start)) "$problem"
    [ -n "$to_mend" ] || to_mend="$part: $name: $problem"
}

# Each test takes a context or more on the GPU, of half a GB each.
test_step() {
    local part=$1 name=$2 most=$3 gpu=1
    [ -z "$small" ] || gpu=trial
    shift 3
    step "$part" "$name" "$most" "${ours[@]}" "INMERGE_TEST_GPU=$gpu" "INMERGE_PROJECT=$project" "INMERGE_PROGRAM=$program" \
        RUST_BACKTRACE=0 "$bundle/integration" --test-threads=8 "$@"
}

check_tests() {
    # The stand-in takes longer.
    local most=150
    [ -z "$small" ] || most=$seconds
    test_step tests "the same bytes as on the processor" "$most" cuda::
}

check_exhaustive() {
    local name="every type by every screen, policy and threshold"
    if [ -n "$small" ]; then
        left_out exhaustive "$name" "$small"
        return
    fi
    test_step exhaustive "$name" 150 --ignored cuda::every_type
}

check_wide() {
    local name="layers of 8192 kernels"
    if [ -n "$small" ]; then
        left_out wide "$name" "$small"
        return
    fi
    test_step wide "$name" 120 --ignored cuda::wide_layers
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
        left_out sanitizer "compute-sanitizer" "it is not on the PATH nor in CUDA_HOME, CUDA_PATH or /usr/local/cuda*"
        return
    fi
    # Kernels enough for blocks beside and below each other.
    local input=$desk/wide.safetensors
    if ! "${ours[@]}" "$bundle/whole" make scale600 "$input" >>"$log" 2>&1; then
        failed=1
        record sanitizer "a checkpoint for it" FAILED 0 "whole make scale600 fails"
        return
    fi
    for tool in memcheck racecheck initcheck; do
        for partner in eligible nearest random; do
            # A threshold of each layer's own has all three screened.
            step sanitizer "$tool: merge --partner $partner" 60 "${ours[@]}" "$sanitizer" --tool "$tool" --error-exitcode 99 \
                "$program" merge "$input" "$desk/out.safetensors" --force --no-sync -q --backend cuda \
                --skip-shallow 0 --tau 20% --prob 1 --partner "$partner"
        done
        step sanitizer "$tool: analyze" 60 "${ours[@]}" "$sanitizer" --tool "$tool" --error-exitcode 99 \
            "$program" analyze "$input" --report "$desk/report" --force --no-sync --no-spectrum -q --backend cuda \
            --skip-shallow 0
    done
}

check_times() {
    if ! command -v "$python" >/dev/null; then
        left_out times "times" "there is no $python"
        return
    fi
    local left=$((seconds - (SECONDS - began) - 10))
    if [ "$left" -lt 20 ] && [ -z "$small" ]; then
        left_out times "times" "no time was left of the call's $seconds s; call again: $0 times"
        return
    fi
    # It keeps to its seconds by itself, so that what was measured is told; the limit is for what hangs.
    step times "times" "$seconds" "$python" "$project/benches/gpu.py" --bundle "$bundle" --out "$results/times.json" \
        --seconds "$left" $small
}

# Puts together the one file that counts, and its tables.
assemble() {
    local times=null doctor=null
    [ -s "$results/times.json" ] && times=$(cat "$results/times.json")
    "${ours[@]}" timeout 60 "$program" doctor --json >"$desk/doctor.json" 2>>"$log" && doctor=$(cat "$desk/doctor.json")
    {
        printf '{\n"format": "inmerge-gpu-check",\n"version": 1,\n"small": %s,\n' "$([ -n "$small" ] && echo true || echo false)"
        printf '"commit": %s,\n"rustc": %s,\n"date": "%s",\n"system": %s,\n' "$(quoted "$commit")" \
            "$(quoted "$(cat "$bundle/rustc" 2>/dev/null)")" "$(date -u '+%Y-%m-%d')" "$(quoted "$(uname -srm)")"
        printf '"doctor": %s,\n"steps": [\n%s\n],\n"times": %s\n}\n' "$doctor" "$(paste -sd, "$results/steps.jsonl" | sed 's/},{/},\n{/g')" "$times"
    } >"$desk/gpu.json" && mv "$desk/gpu.json" "$results/gpu.json"
    if command -v "$python" >/dev/null; then
        "$python" "$project/benches/gpu_tables.py" --markdown "$results/gpu.json" >"$results/gpu.md" 2>>"$log" \
            || say "gpu-check: no tables, see the end of $log"
    fi
}

# Forgets what became of a part in an earlier call.
forget() {
    grep -v "^{\"part\":\"$1\"" "$results/steps.jsonl" >"$desk/steps.jsonl"
    cp "$desk/steps.jsonl" "$results/steps.jsonl"
}

# A call: some parts within its time.
call() {
    local part
    for part in "$@"; do
        forget "$part"
        "check_$part"
    done
}

say "inmerge-ckpt $commit on $(uname -srm), $(date -u '+%Y-%m-%d %H:%M UTC')"
"${ours[@]}" timeout 60 "$program" doctor >"$desk/doctor.txt" 2>&1
cat "$desk/doctor.txt" >>"$log"
# The GPUs, and what auto makes of them.
sed -n '/^GPUs/,$p' "$desk/doctor.txt" | cut -c1-200 | head -n 20

# A GPU that is there and fails is looked at by all parts: what they find says why. Without one, or without its libraries,
# there is nothing to look at.
forget start
step start "a small merge" 60 "${ours[@]}" "$program" merge "$project/fixtures/checkpoints/demo.safetensors" --dry-run -q \
    --backend cuda
if [ "$failed" = 0 ] || grep -q '^GPUs  *--backend' "$desk/doctor.txt" && ! grep -q '^cuBLAS  *none' "$desk/doctor.txt"; then
    correctness=()
    timing=()
    for part in "${parts[@]}"; do
        if [ "$part" = times ]; then timing=(times); else correctness+=("$part"); fi
    done
    if [ ${#correctness[@]} -gt 0 ]; then
        call "${correctness[@]}"
        # The times are a call of their own.
        began=$SECONDS
    fi
    [ ${#timing[@]} -eq 0 ] || call "${timing[@]}"
else
    say "gpu-check: nothing else was checked, for there is no GPU that can be used"
fi
assemble
say "Written: $results/gpu.json"
if [ -n "$to_mend" ]; then
    say "First to mend: $to_mend"
else
    say "Nothing to mend."
fi
exit "$failed"
