#!/usr/bin/env bash
# The long form of tests/it/torture: servers and their database die, freeze and come back under load, in debug builds, whose
# fail points end them at named places of their work. REPRISE_TORTURE_SEED sets what the dice begin with; a word as argument
# picks tests by name. What it does is said at the end of each test.
set -euo pipefail
cd "$(dirname "$0")/.."
export REPRISE_TORTURE=long

# shellcheck source=tests/postgres.sh
. tests/postgres.sh
if start_postgres; then
    trap stop_postgres EXIT
    export REPRISE_TEST_DATABASE_URL="$POSTGRES_URL"
else
    echo "PostgreSQL is not installed and could not be: the tests of several servers cannot run" >&2
    exit 1
fi

cargo build --workspace --all-targets --quiet
# One at a time: each makes load enough.
cargo test --package reprise --test it --quiet -- "torture::${1:-}" --test-threads=1 --nocapture
