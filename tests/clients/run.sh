#!/usr/bin/env bash
# The clients against real servers: each against the test double, their recipes against the real Claude Code with the offline model.
#
#   tests/clients/run.sh [python] [go] [typescript] [recipes]     all by default
#
# Needs the programs in target/debug (or REPRISE_TEST_BIN). What cannot be had is named as a line `SKIPPED …`; then the exit code is 3.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/clients
missing=

lacks() { printf 'SKIPPED %s: %s\n' "$1" "$2"; missing=1; }
has() { command -v "$1" >/dev/null; }
beside() { python3 $here/harness.py "$@"; }

python_client() {
    if ! python3 -m venv --help >/dev/null 2>&1; then lacks "Python client" "python3 has no venv"; return; fi
    bash clients/generate.sh python-tools
    # As its users install it: what is missing in the package is missing here.
    .tools/python/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps ./clients/python
    (cd clients/python && ../../.tools/python/bin/mypy src/reprise)
    .tools/python/bin/mypy --strict $here/python_test.py
    beside .tools/python/bin/python $here/python_test.py
}

go_client() {
    if ! has go; then lacks "Go client" "Go is not installed"; return; fi
    (cd clients/go && go vet ./... && go test ./...)
    (cd $here/go && go vet ./...)
    beside go -C $here/go test -count=1 ./...
}

typescript_client() {
    if ! has npm; then lacks "TypeScript client" "npm is not installed"; return; fi
    make --silent clients/node_modules/.package-lock.json
    # As its users install it: packed, and installed into a project of its own.
    local project=$PWD/.tools/typescript-client
    rm -rf "$project" && mkdir -p "$project"
    (cd clients && npm pack --silent --workspace typescript --pack-destination "$project" >/dev/null)
    (cd "$project" && npm init --yes >/dev/null && npm install --silent --no-audit --no-fund ./*.tgz)
    cp $here/typescript_test.mjs "$project/client.test.mjs"
    TEST_README="$PWD/clients/typescript/README.md" beside node --test --test-reporter spec "$project/client.test.mjs"
}

recipes() {
    if [ -z "${REPRISE_TEST_CLAUDE:-}" ]; then lacks recipes "they need the real Claude Code (REPRISE_TEST_CLAUDE)"; return; fi
    if ! has jq || ! has npm || [ ! -x .tools/bin/grpcurl ]; then lacks recipes "jq, npm (for buf) or grpcurl is not installed"; return; fi
    make --silent .tools/buf/node_modules/.bin/buf
    PATH="$PWD/.tools/bin:$PWD/.tools/buf/node_modules/.bin:$PATH" beside --agent claude python3 $here/recipes.py
}

if ! has python3 || ! has openssl; then lacks clients "python3 and openssl are needed"; exit 3; fi
[ "$#" -gt 0 ] || set -- python go typescript recipes
for what in "$@"; do
    case $what in
        python) python_client ;;
        go) go_client ;;
        typescript) typescript_client ;;
        recipes) recipes ;;
        *) printf 'run.sh: unknown: %s\n' "$what" >&2; exit 2 ;;
    esac
done
[ -z "$missing" ] || exit 3
