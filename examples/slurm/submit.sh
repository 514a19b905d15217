#!/bin/sh
# Plans a sweep and queues it: an array of tasks that share its points, then a job that collects them.
#
#   ./submit.sh TASKS REPORT CHECKPOINT [options of `inmerge-ckpt sensitivity plan`]
#
#   ./submit.sh 8 sweeps/base base.safetensors --vary layers --eval 'python eval.py --weights {checkpoint}'
#
# The same line again, once the jobs have ended, goes on with what is left of a sweep that was stopped.
set -eu

if [ $# -lt 3 ]; then
    echo "usage: $0 TASKS REPORT CHECKPOINT [options of inmerge-ckpt sensitivity plan]" >&2
    exit 2
fi
tasks=$1 report=$2 checkpoint=$3
shift 3
here=$(dirname "$0")

inmerge-ckpt sensitivity plan "$checkpoint" --report "$report" "$@"

# Where clusters are federated, the answer is "id;cluster".
array=$(sbatch --parsable --array="1-$tasks" "$here/sweep.sbatch" "$report" "$tasks")
array=${array%%;*}
# After any end of the tasks, so that what there is can be looked at where some of them failed.
collect=$(sbatch --parsable --dependency="afterany:$array" "$here/collect.sbatch" "$report")
collect=${collect%%;*}

echo "array $array"
echo "collect $collect"
