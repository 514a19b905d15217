#!/bin/sh
# Thins out the corpus of each target named, or of all: of what fuzzing has added, as few files as reach the same code, the
# smallest, and no more than 50. The fixtures' seeds count like the others.
set -eu
cd "$(dirname "$0")"
targets=${*:-$(ls fuzz_targets | sed 's/\.rs$//')}
for target in $targets; do
	new=$(mktemp -d)
	cargo +nightly fuzz run -s none "$target" "$new" "corpus/$target" -- -set_cover_merge=1 -max_len=4096 -rss_limit_mb=4096
	# By size, names breaking ties.
	find "$new" -type f -printf '%s %f\n' | sort -n | tail -n +51 | while read -r _ name; do rm "$new/$name"; done
	rm -r "corpus/$target"
	mv "$new" "corpus/$target"
	chmod 755 "corpus/$target"
	echo "$target: $(ls "corpus/$target" | wc -l) files"
done
