#!/bin/sh
# An evaluator for check.sh: scores a checkpoint by its checksum, so that other bytes get another number. Takes
# $EVALUATE_SECONDS, and notes each evaluation in the file $EVALUATIONS.
set -eu
sleep "$EVALUATE_SECONDS"
sum=$(cksum <"$1")
echo "${sum%% *}" >>"$EVALUATIONS"
echo "checksum of $1:"
echo "0.${sum%% *}"
