#!/usr/bin/env bash
# What a lookup that misses costs on ext4 in a guest with one vCPU, in instructions: as it is, with
# `fslockup run`, with a bpftrace script that counts by comm, through kprobes and through fentry; the
# same in directories too small to be counted, and for a dentry that leaves the cache. Needs a built
# target directory; without bpftrace on this host (or $BPFTRACE) its part is left out.
#
#   tests/benches/dentry-cost [KERNEL]
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release
bpftrace=${BPFTRACE:-$(command -v bpftrace || true)}
opt=$(mktemp -d)
trap 'rm -rf "$opt"' EXIT

if false; then
    ldd "$bpftrace" | grep -o '/[^ ]*' | xargs -I{} cp -L {} "$opt"
    cp "$bpftrace" "$opt/bpftrace"
fi
cat > "$opt/bench" <<'GUEST'
number=0
dir=/mnt/disk
cost() {
    what=$1; shift
    for run in 1 2 3; do
        number=$((number + 1))
        workload "$@" --dir $dir/$number --count 20000 |
            sed 's/.*times_count":\([0-9]*\),"total_ns":\([0-9]*\)}/\2 \1/' |
            while read -r ns count; do echo "$what: $((ns / count / 2)) instructions"; done
    done
}
all() {
    cost "$1, a miss" misses
    cost "$1, a miss in a directory of 20" misses --each 20
    cost "$1, a dentry removed" kills
}
until_said() {
    for second in $(seq 60); do grep -q "$2" "$1" && return; sleep 1; done
    echo "no '$2': $(cat "$1")"; exit 1
}
traced() {
    LD_LIBRARY_PATH=/opt /opt/ld-linux-x86-64.so.2 /opt/bpftrace -e "$2" > /tmp/bpftrace 2>&1 &
    tracer=$!
    until_said /tmp/bpftrace Attaching
    sleep 5
    all "$1"
    kill -INT $tracer; wait $tracer
    cat /tmp/bpftrace
}
all "without"
# Its looks ten times a second are no part of a miss.
fslockup run --poll-period 1h > /tmp/fslockup 2>&1 & detector=$!
until_said /tmp/fslockup reported
all "fslockup run"
kill -INT $detector; wait $detector
tail -n 1 /tmp/fslockup
[ -e /opt/bpftrace ] || exit 0
traced "bpftrace kprobe" 'kprobe:d_add,kprobe:d_splice_alias,kprobe:__dentry_kill { @[comm] = count(); }'
traced "bpftrace kfunc" 'kfunc:d_add,kfunc:d_splice_alias,kfunc:__dentry_kill { @[comm] = count(); }'
GUEST
"$bin/vmtest" exec --kernel "${1:-6.1}" --cpus 1 --memory 3G --mode icount --fs ext4 --disk 2G --time-limit 5m \
    --copy "$opt:/opt" -- sh /opt/bench
