#!/usr/bin/env bash
# Every test: Rust on SQLite, the same on PostgreSQL, the real Claude Code against the offline model, the clients, the
# dashboard in Chromium, grpcurl, the demo.
# What a test needs is fetched into .tools at an exact version; servers are started on loopback and ended here.
# What cannot be had is named at the end; under CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .tools/bin
skipped=()
step() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }

step "Claude Code"
if sh tests/tools/claude.sh .tools/claude >.tools/claude.log 2>&1; then
    export REPRISE_TEST_CLAUDE="$PWD/.tools/claude/bin/claude"
    "$REPRISE_TEST_CLAUDE" --version
else
    tail -n 5 .tools/claude.log
    skipped+=("real Claude Code: it could not be fetched")
fi

step "grpcurl"
if [ ! -x .tools/bin/grpcurl ] && command -v go >/dev/null; then
    GOBIN="$PWD/.tools/bin" GOFLAGS=-mod=mod go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3 || true
fi
if [ -x .tools/bin/grpcurl ]; then
    export REPRISE_TEST_GRPCURL="$PWD/.tools/bin/grpcurl"
    "$REPRISE_TEST_GRPCURL" --version 2>&1 | head -1
else
    skipped+=("grpcurl: no Go to build it with")
fi

if ! command -v jq >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq jq >/dev/null 2>&1 || true
fi

step "PostgreSQL"
# shellcheck source=tests/postgres.sh
. tests/postgres.sh
if start_postgres; then
    trap stop_postgres EXIT
    export REPRISE_TEST_DATABASE_URL="$POSTGRES_URL"
    echo "started on loopback for the tests"
else
    skipped+=("PostgreSQL: its server is not installed and could not be")
fi

step "build"
cargo build --workspace --all-targets --quiet

step "Rust"
cargo test --workspace --quiet -- --test-threads="${REPRISE_TEST_THREADS:-2}"

step "TypeScript and the dashboard"
if command -v npm >/dev/null; then
    make --silent dashboard
    (cd clients && npm test --silent -w typescript && npm test --silent -w dashboard)
else
    skipped+=("TypeScript client and dashboard: npm is not installed")
fi

step "clients"
code=0
bash tests/clients/run.sh >.tools/clients.log 2>&1 || code=$?
{ grep -vE '^SKIPPED ' .tools/clients.log || true; } | tail -n 40
while read -r line; do skipped+=("${line#SKIPPED }"); done < <(grep '^SKIPPED ' .tools/clients.log || true)
[ "$code" -eq 0 ] || [ "$code" -eq 3 ] || { cat .tools/clients.log; exit 1; }

step "dashboard in Chromium"
code=0
bash tests/e2e/run.sh >.tools/e2e.log 2>&1 || code=$?
grep -vE '^SKIPPED ' .tools/e2e.log | tail -n 40 || true
while read -r line; do skipped+=("${line#SKIPPED }"); done < <(grep '^SKIPPED ' .tools/e2e.log || true)
[ "$code" -eq 0 ] || [ "$code" -eq 3 ] || { cat .tools/e2e.log; exit 1; }

step "demo"
if [ -n "${REPRISE_TEST_CLAUDE:-}" ]; then
    bash tests/demo.sh
    step "README"
    if command -v python3 >/dev/null && command -v jq >/dev/null && [ -x .tools/bin/grpcurl ]; then
        bash tests/readme.sh
    else
        skipped+=("README examples: python3, jq or grpcurl is not installed")
    fi
else
    skipped+=("demo: it needs the real Claude Code")
fi

printf '\n'
if [ "${#skipped[@]}" -gt 0 ]; then
    printf 'SKIPPED %s\n' "${skipped[@]}"
    [ "${CI:-}" != true ] || { echo "under CI=true a skip is a failure"; exit 1; }
fi
echo "all tests passed"
