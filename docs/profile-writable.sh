#!/usr/bin/env bash
# What a mounted, writable file system does with its time while files are written and read back: samples of the process
# that serves it, and the processor time it took. docs/benchmarks.md has what came out.
#
#   docs/profile-writable.sh PID DIR [MIB]
#
# PID serves DIR, in which files of MIB (300) are written. Files that are there already are read too. Wants perf, and room
# for five times MIB in what lies below DIR.
set -euo pipefail

if [ $# -lt 2 ]; then sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; fi
pid="$1" dir="$2" mib="${3:-300}"
[ -d "/proc/$pid" ] || { echo "there is no process $pid"; exit 1; }
mountpoint -q "$dir" || { echo "nothing is mounted on $dir"; exit 1; }
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

# Bytes that do not compress, made before the clock runs: what makes them is not what is measured.
head -c "${mib}M" /dev/urandom >"$out/bytes"
put() { dd if="$out/bytes" of="$1" bs=1M count="$2" conv=notrunc oflag="${3:-nofollow}" status=none; }
read_all() { for file in "$@"; do dd if="$file" of=/dev/null bs=128K status=none; done; }
below() { find "$dir" -type f ! -name 'written-*' -print0 | sort -z | xargs -0 -r -n 64 cat >/dev/null; }

workload() {
  for n in 1 2 3; do put "$dir/written-$n" "$mib"; done
  for _ in 1 2 3 4; do below; done
  read_all "$dir"/written-{1,2,3}
  for _ in 1 2 3; do read_all "$dir"/written-{1,2}; done
  put "$dir/written-4" $((mib / 3))
  read_all "$dir/written-4"
  put "$dir/written-4" $((mib / 6)) append
  read_all "$dir/written-4"
  rm "$dir"/written-{1,2,3,4}
}

ticks() { sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12, $13 }'; }
faults() { sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $8 }'; }
hertz="$(getconf CLK_TCK)"

perf record -q -F 999 -g -p "$pid" -o "$out/samples" 2>"$out/perf.err" &
perf=$!
sleep 1
kill -0 "$perf" 2>/dev/null || { cat "$out/perf.err"; exit 1; }
read -r user0 system0 < <(ticks)
faults0="$(faults)"
begun="$(date +%s.%N)"
workload
ended="$(date +%s.%N)"
read -r user1 system1 < <(ticks)
faults1="$(faults)"
kill -INT "$perf"
wait "$perf" || true

# Shares of all samples. Copies by the program itself; all that a page fault leads to; all that is not the kernel.
report() { perf report -i "$out/samples" --stdio -g none "$@" 2>/dev/null | grep -v '^#' | grep . || true; }
report --no-children --sort sym >"$out/own"
report --children --sort sym >"$out/all"
report --no-children --sort dso >"$out/dso"
sum() { awk -v want="$2" '$0 ~ want { gsub("%", "", $1); sum += $1 } END { printf "%.1f %%", sum }' "$1"; }
first() { awk -v want="$2" '$0 ~ want { print $1 + 0 " %"; found = 1; exit } END { if (!found) print "0 %" }' "$1"; }
kernel="$(awk '/kernel|\[k\]/ { gsub("%", "", $1); sum += $1 } END { print sum + 0 }' "$out/dso")"

awk -v a="$begun" -v b="$ended" 'BEGIN { printf "wall            %.2f s\n", b - a }'
awk -v u="$((user1 - user0))" -v s="$((system1 - system0))" -v hz="$hertz" \
  'BEGIN { printf "processor       %.2f s user, %.2f s system\n", u / hz, s / hz }'
echo "page faults     $((faults1 - faults0))"
echo "samples         $(perf report -i "$out/samples" --stdio -g none --header 2>/dev/null | sed -n 's/^# Samples: //p' | head -n 1)"
echo "memmove         $(sum "$out/own" '\[\.\].*(memmove|memcpy)')"
echo "page faults     $(first "$out/all" 'asm_exc_page_fault')"
awk -v kernel="$kernel" 'BEGIN { printf "user space      %.1f %%\n", (kernel > 0) ? 100 - kernel : 0 }'
echo
head -n 12 "$out/own"
