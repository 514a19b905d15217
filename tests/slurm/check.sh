#!/usr/bin/env bash
# Checks examples/slurm on a real Slurm, which it installs where it is missing, starts and stops again.
#
#   tests/slurm/check.sh PROGRAM        inmerge-ckpt, built
#
# One sweep is run three times: by a single process; by an array of two tasks; and by an array of which one task is requeued
# and the other one killed, so that it takes a second array. Each way its results must be the same, and no point may be lost
# or evaluated again once it is known. Exit code 1 if anything is amiss; what Slurm logged is kept then.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/slurm/cluster.sh
. "$project/tests/slurm/cluster.sh"

if [ $# != 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 PROGRAM, as make slurm-check does" >&2
    exit 2
fi
program=$(realpath "$1")

fail() {
    echo "slurm-check: $*" >&2
    exit 1
}

finish() {
    local code=$?
    trap - EXIT INT TERM HUP
    cluster_stop || code=1
    case $code in
        0|130|143) rm -rf "$desk" ;;
        *) echo "slurm-check: FAILED; everything that was written is in $desk" >&2 ;;
    esac
    exit "$code"
}

# Waits until a command succeeds.
wait_for() {
    local what=$1 seconds=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "waited $seconds s in vain for $what"
        sleep 0.2
    done
}

cluster_may_start
cluster_install
desk=$(mktemp -d)
chmod 711 "$desk" # munged's socket is to be reached by all
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

echo "== $(slurmctld -V), one node"
cluster_start "$desk/slurm"
wait_for "an idle node" 60 cluster_is_idle

# Names with blanks and quotes, as some people have them.
mkdir "$desk/bin" "$desk/shared folder"
ln -s "$program" "$desk/bin/inmerge-ckpt"
export PATH=$desk/bin:$PATH
cp "$project/fixtures/checkpoints/demo.safetensors" "$desk/shared folder/epoch 3.safetensors"
cp "$project/tests/slurm/evaluate.sh" "$desk/shared folder/evaluate.sh"
cd "$desk/shared folder"
checkpoint="epoch 3.safetensors"
sweep=(--vary tau=0.8:0.95:0.05 --vary layers=stages --repeats 2 --eval './evaluate.sh {checkpoint}')
export EVALUATIONS EVALUATE_SECONDS

# The points in some journals, a line each, in the order of the lines.
points() {
    cat "$@" | sed -n 's/.*"point":\({.*}\),"merging":.*/\1/p'
}

# A table without its column of seconds, which no two runs share.
without_seconds() {
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "seconds") column = i; if (!column) exit 1 }
        { $column = ""; print }' OFS=, "$1" || fail "$1 has no column of seconds"
}

has_points() {
    [ -e "$2" ] && [ "$(points "$2" | wc -l)" -ge "$1" ]
}

# Whether jobs, or tasks of an array, have left the queue.
have_ended() {
    [ -z "$(squeue --noheader --array --jobs "$1" 2>/dev/null)" ]
}

# Slurm's own process of a job takes a moment longer than the job.
nothing_is_left() {
    [ -z "$(cluster_job_processes "")" ]
}

task_is() {
    [ "$(squeue --noheader --array --jobs "$1" --format=%T 2>/dev/null)" = "$2" ]
}

# The program in a task that runs, which has taken the place of the task's shell.
program_of_task() {
    local process
    for process in $(cluster_job_processes "SLURM_ARRAY_TASK_ID=$1"); do
        ! grep -qsx inmerge-ckpt "/proc/$process/comm" || echo "$process"
    done
}

# One line of a job's record: state and exit code of all of its tasks.
became() {
    scontrol show job "$1" | grep -oE 'ArrayTaskId=[^ ]*|JobState=[^ ]*|Restarts=[^ ]*|ExitCode=[^ ]*' | tr '\n' ' '
}

# Submits the sweep by the example, in two tasks; leaves the jobs' numbers in $array and $collect.
submit() {
    local jobs
    jobs=$("$project/examples/slurm/submit.sh" 2 "$1" "$checkpoint" "${sweep[@]}")
    echo "$jobs"
    array=$(sed -n 's/^array //p' <<<"$jobs")
    collect=$(sed -n 's/^collect //p' <<<"$jobs")
    [[ -n $array && -n $collect ]] || fail "submit.sh named no jobs"
}

ended_well() {
    scontrol show job "$1" | grep -q 'JobState=COMPLETED' || fail "job $1: $(became "$1")"
    if scontrol show job "$1" | grep 'JobState=' | grep -vq 'JobState=COMPLETED'; then
        fail "job $1: $(became "$1")"
    fi
}

# Whether a sweep by two tasks came to what the single process came to.
same_as_single() {
    local report=$1 part
    for part in 1 2; do
        has_points 1 "$report/points-$part-of-2.jsonl" || fail "task $part wrote no points"
    done
    points "$report"/points*.jsonl | sort >"$desk/points"
    [ -z "$(uniq -d "$desk/points")" ] || fail "points that were kept twice: $(uniq -d "$desk/points")"
    points single/points.jsonl | sort | diff - "$desk/points" || fail "the points differ from those of a single process"
    diff <(without_seconds single/results.csv) <(without_seconds "$report/results.csv") ||
        fail "results.csv differs from that of a single process"
    [ -s "$report/index.html" ] || fail "collect drew no page"
    wait_for "the end of processes that outlived their jobs" 10 nothing_is_left
    echo "results.csv is the single process's; points a task: $(points "$report/points-1-of-2.jsonl" | wc -l)," \
        "$(points "$report/points-2-of-2.jsonl" | wc -l); evaluations: $(wc -l <"$EVALUATIONS")"
}

echo "== A single process, without Slurm"
EVALUATIONS=$desk/single EVALUATE_SECONDS=0
inmerge-ckpt sensitivity "$checkpoint" --report single "${sweep[@]}"
count=$(points single/points.jsonl | wc -l)
[ "$count" -ge 8 ] || fail "$count points are too few to share"
[ "$(wc -l <"$EVALUATIONS")" = "$count" ] || fail "$(wc -l <"$EVALUATIONS") evaluations of $count points"

echo "== An array of two tasks"
EVALUATIONS=$desk/two EVALUATE_SECONDS=0.2
submit "two tasks' sweep"
wait_for "the collecting job" 120 have_ended "$array,$collect"
ended_well "$array"
ended_well "$collect"
same_as_single "two tasks' sweep"
[ "$(wc -l <"$EVALUATIONS")" = "$count" ] || fail "$(wc -l <"$EVALUATIONS") evaluations of $count points"

echo "== An array of which one task is requeued and the other one killed"
EVALUATIONS=$desk/torn EVALUATE_SECONDS=1
torn="torn 'sweep'"
submit "$torn"
for part in 1 2; do
    wait_for "two points of task $part" 60 has_points 2 "$torn/points-$part-of-2.jsonl"
done
scontrol requeue "${array}_1"
kill -KILL "$(program_of_task 2)"
wait_for "the first task's return to the queue" 60 task_is "${array}_1" PENDING
wait_for "the second task's end" 60 have_ended "${array}_2"
for part in 1 2; do
    cp "$torn/points-$part-of-2.jsonl" "$desk/kept-$part"
    points "$desk/kept-$part" | wc -l | sed "s/^/points that task $part had finished: /"
    ! has_points $((count / 2)) "$desk/kept-$part" || fail "task $part was done before it was torn"
done
# A requeued task waits for two minutes otherwise.
scontrol update jobid="${array}_1" StartTime=now
wait_for "the first task and the collecting job" 120 have_ended "$array,$collect"
became "$array"
echo
scontrol show job "${array}_1" | grep -q 'Restarts=1' || fail "the first task was not requeued"
ended_well "${array}_1"
collected=$(($(wc -l <"$torn/results.csv") - 1))
[ "$collected" -lt "$count" ] || fail "the killed task left nothing to do"
echo "collected so far: $collected of $count points"
submit "$torn"
wait_for "the second collecting job" 120 have_ended "$array,$collect"
ended_well "$array"
ended_well "$collect"
for part in 1 2; do
    points "$desk/kept-$part" >"$desk/kept"
    points "$torn/points-$part-of-2.jsonl" | head -n "$(wc -l <"$desk/kept")" | diff "$desk/kept" - ||
        fail "task $part did not keep the points that it had finished"
done
same_as_single "$torn"
# Each of the two may have been torn between the evaluator's end and the point's.
[ "$(wc -l <"$EVALUATIONS")" -le $((count + 2)) ] || fail "points were evaluated again: $(wc -l <"$EVALUATIONS") evaluations"

echo "slurm-check: passed"
