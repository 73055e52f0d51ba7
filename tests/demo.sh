#!/usr/bin/env bash
# The demo as a person runs it: with the port taken, with another word, piped, twice, and on a terminal until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
home=$(mktemp -d)
export DEMO_DIR=$home/demo
out=$home/out
blocker=
finish() {
    [ -z "$blocker" ] || kill "$blocker" 2>/dev/null || true
    bash demo/demo.sh clean >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap finish EXIT

fail() { printf 'FAILED: %s\n' "$*" >&2; cat "$out" >&2; tail -n 20 "$DEMO_DIR/log/server.log" >&2 || true; exit 1; }
has() { grep -qE -- "$1" "$out" || fail "the output has no \"$1\""; }
has_not() { if grep -qE -- "$1" "$out"; then fail "the output has \"$1\""; fi; }
six() { [ "$(sed -n '/what that shows/,$p' "$out" | grep -cE ' yes$')" = 6 ] || fail "not all six hold"; }
nothing_left() {
    local pid
    for pid in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$pid/cmdline" | grep -qF "$DEMO_DIR/"; then fail "left running: $(tr '\0' ' ' <"$pid/cmdline")"; fi
    done
}

# Piped: no colour, no spinner, ends by itself. Another word changes the output, so it is no constant.
if ! (exec 3<>/dev/tcp/127.0.0.1/7700) 2>/dev/null; then
    "${CARGO_TARGET_DIR:-target}/debug/offline-model" --listen 127.0.0.1:7700 >/dev/null &
    blocker=$!
    sleep 1
fi
DEMO_WORD=OSPREY bash demo/demo.sh >"$out" 2>&1 || fail "it ended with $?"
six
has 'port 7700 is taken by .+ \(pid [0-9]+\)|port 7700 is taken by another program'
has 'OSPREY\. I rejected'
has 'claude --resume'
has 'duplicate dlv_'
has_not HERON
has_not $'\033'
nothing_left
[ "$(stat -c %a "$DEMO_DIR/env")" = 600 ] || fail "env is not for its owner alone"
key=$(sed -n 's/^export REPRISE_KEY="\(.*\)"/\1/p' "$DEMO_DIR/env")
[ "$(grep -rlF "$key" "$DEMO_DIR" | grep -cv '/env$')" = 0 ] || fail "the key is in another file than env"
[ -z "$blocker" ] || kill "$blocker"
blocker=

# Again on what the first one left, and on a terminal: it stays up until Ctrl-C, and then nothing of it is left.
python3 - "$out" <<'PY' || fail "on a terminal it did not end with Ctrl-C"
import os, pty, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "demo/demo.sh"])
seen, begun, last, silence, stopped = b"", time.time(), time.time(), 0.0, False
while time.time() - begun < 300:
    if select.select([terminal], [], [], 0.5)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        silence, last = max(silence, time.time() - last), time.time()
        seen += part
    if b"Ctrl-C stops everything" in seen and not stopped:
        time.sleep(1)
        os.write(terminal, b"\x03")
        stopped = True
open(sys.argv[1], "wb").write(seen)
_, status = os.waitpid(pid, 0)
sys.exit(0 if stopped and os.waitstatus_to_exitcode(status) == 0 else 1)
PY
sed -i 's/\r//g; s/\x1b\[[0-9;]*[mK]//g' "$out"
six
has HERON
has '^Dashboard  http://127\.0\.0\.1:[0-9]+/#code='
nothing_left

# Killed and started again, a run goes on.
bash demo/demo.sh start >"$out" || fail "it did not start again"
has '^ready on http://127.0.0.1:[0-9]+ in [0-9.]+ s'
# shellcheck source=/dev/null
. "$DEMO_DIR/env"
reprise trigger fire github-demo --sample slow --watch >"$out" 2>&1 &
watching=$!
sleep 5
kill -9 "$(cat "$DEMO_DIR/server.pid")"
bash demo/demo.sh start >"$home/again" || fail "it did not start again"
grep -q '1 run was live' "$home/again" || { cat "$home/again" >&2; fail "the live run is not named"; }
wait "$watching" || fail "the watched run did not succeed"
has 'succeeded .* 2 attempts'
bash demo/demo.sh clean >/dev/null
nothing_left
[ ! -e "$DEMO_DIR" ] || fail "clean left something"
echo "the demo holds"
