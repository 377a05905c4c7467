#!/bin/sh
# May this kernel go to production? In shards, as a CI system with several machines runs them; here one after
# the other.
#
#   examples/kernel-gate.sh BASELINE CANDIDATE OUT [SHARDS]
#
# VMTEST names the program (default: the one on the PATH). Exits as `vmtest gate`: 0 yes, 1 no, 2 not judged.
set -u

[ $# -ge 3 ] || {
    echo "usage: $0 BASELINE CANDIDATE OUT [SHARDS]" >&2
    exit 2
}
baseline=$1 candidate=$2 out=$3 shards=${4:-2}
vmtest=${VMTEST:-vmtest}

# A scenario that did not pass (exit code 1) is for the gate to judge; what could not run (2) is not.
carry_on() {
    "$@" || [ $? = 1 ] || exit 2
}

parts=
i=1
while [ "$i" -le "$shards" ]; do
    carry_on "$vmtest" run --kernel "$baseline" --kernel "$candidate" --any-kernel --repeat-failed 3 \
        --shard "$i/$shards" --out "$out/shard-$i"
    parts="$parts $out/shard-$i"
    i=$((i + 1))
done
# shellcheck disable=SC2086 # a list of directories
carry_on "$vmtest" merge $parts --out "$out/whole"

results=$out/whole/results.json
exec "$vmtest" gate --baseline "$results:$(basename "$baseline")" --candidate "$results:$(basename "$candidate")" \
    --out "$out/gate"
