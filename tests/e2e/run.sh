#!/usr/bin/env bash
# The dashboard in Chromium: the real server, the real Claude Code, the offline model.
#
#   tests/e2e/run.sh [ARGUMENT…]      arguments go to Playwright, such as the name of a spec
#
# Needs the programs in target/debug (or REPRISE_TEST_BIN) and clients/dashboard/dist (make dashboard). What cannot be had
# is named as a line `SKIPPED …`; then the exit code is 3.
set -euo pipefail
cd "$(dirname "$0")/../.."

lacks() { printf 'SKIPPED dashboard in Chromium: %s\n' "$1"; exit 3; }
chromium() { [ -n "${REPRISE_TEST_CHROMIUM:-}" ] || command -v chromium || command -v chromium-browser || command -v google-chrome; }

command -v npm >/dev/null || lacks "npm is not installed"
[ -n "${REPRISE_TEST_CLAUDE:-}" ] || [ -x .tools/claude/bin/claude ] || lacks "it needs the real Claude Code (REPRISE_TEST_CLAUDE)"
if ! chromium >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true
fi
chromium >/dev/null || lacks "Chromium is not installed and could not be"

make --silent dashboard
(cd clients && npm run --silent build -w typescript)
cd tests/e2e
if [ package-lock.json -nt node_modules/.package-lock.json ]; then PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund; fi
npm test --silent -- "$@"
