#!/usr/bin/env bash
# Makes the code of the clients from proto/, with plugins of exact versions; what it writes is committed.
#
#   clients/generate.sh [python] [go] [typescript]     all by default
#
# Exit code 3: the tools of a language are not installed here, named on standard error; the others are made all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

protoc_gen_go=v1.36.12
protoc_gen_go_grpc=v1.6.2
tools=$PWD/.tools
missing=

lacks() { printf 'SKIPPED %s: %s\n' "$1" "$2" >&2; missing=1; }

# Installs the pinned packages where they are not yet.
python_tools() {
    cmp -s tests/tools/python/requirements.txt "$tools/python/requirements.txt" && return
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check --requirement tests/tools/python/requirements.txt
    cp tests/tools/python/requirements.txt "$tools/python/"
}

python() {
    if ! command -v python3 >/dev/null || ! python3 -m venv --help >/dev/null 2>&1; then
        lacks python "python3 with venv is not installed"
        return
    fi
    python_tools
    "$tools/python/bin/python" clients/python/generate.py
}

go_tool() {
    local name=$1 package=$2 version=$3
    [ "$("$tools/bin/$name" --version 2>/dev/null | sed 's/.* v\{0,1\}/v/')" = "$version" ] || GOBIN="$tools/bin" GOFLAGS=-mod=mod go install "$package@$version"
}

go_code() {
    if ! command -v go >/dev/null || ! command -v npm >/dev/null; then
        lacks go "Go or npm (for buf) is not installed"
        return
    fi
    make --silent .tools/buf/node_modules/.bin/buf
    go_tool protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go "$protoc_gen_go"
    go_tool protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc "$protoc_gen_go_grpc"
    rm -rf clients/go/reprise/v1
    .tools/buf/node_modules/.bin/buf generate --template clients/go/buf.gen.yaml
}

typescript() {
    if ! command -v npm >/dev/null; then
        lacks typescript "npm is not installed"
        return
    fi
    make --silent .tools/buf/node_modules/.bin/buf clients/node_modules/.package-lock.json
    rm -rf clients/typescript/src/gen
    .tools/buf/node_modules/.bin/buf generate --template clients/typescript/buf.gen.yaml
}

[ "$#" -gt 0 ] || set -- python go typescript
for language in "$@"; do
    case $language in
        python) python ;;
        # Only what the tests need.
        python-tools) python_tools ;;
        go) go_code ;;
        typescript) typescript ;;
        *) printf 'generate.sh: unknown: %s\n' "$language" >&2; exit 2 ;;
    esac
done
[ -z "$missing" ] || exit 3
