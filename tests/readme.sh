#!/usr/bin/env bash
# The README's examples by hand, pasted against a demo of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
home=$(mktemp -d)
export DEMO_DIR=$home/demo
finish() {
    bash demo/demo.sh clean >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap finish EXIT
DEMO_ONCE=1 bash demo/demo.sh >"$home/out" 2>&1 || { cat "$home/out"; exit 1; }
bash demo/demo.sh start >>"$home/out" 2>&1 || { cat "$home/out"; exit 1; }
PATH="$PWD/.tools/bin:$PATH" python3 tests/readme.py "$DEMO_DIR/env"
