#!/bin/sh
# Installs the pinned Claude Code CLI into DEST and prints the path of the executable.
#
#   tests/tools/claude.sh [DEST]        DEST defaults to .tools/claude
#
# The version and the sha512 of every package are those of claude/package-lock.json. npm only
# fetches and checks; what runs afterwards is the native binary, so no Node is needed at run time.
# Without npm the platform's one archive is fetched with curl from the registry named by
# NPM_CONFIG_REGISTRY and checked against the same sha512.
# CLAUDE_BIN=/path/to/claude uses an executable that is already there, if its version is the pinned one.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
lock="$here/claude/package-lock.json"
dest=${1:-.tools/claude}
version=$(sed -n 's/.*"@anthropic-ai\/claude-code": "\([0-9.]*\)".*/\1/p' "$here/claude/package.json")

say() { printf '%s\n' "claude.sh: $*" >&2; }
die() { say "$@"; exit 1; }

# The CLI writes below HOME even for --version: it gets an empty one that goes away again.
is_pinned() {
    [ -x "$1" ] || return 1
    probe=$(mktemp -d)
    seen=$(env -i HOME="$probe" PATH="$PATH" "$1" --version 2>/dev/null </dev/null || true)
    rm -rf "$probe"
    case $seen in "$version "*) return 0 ;; *) return 1 ;; esac
}

platform() {
    case $(uname -m) in
        x86_64 | amd64) cpu=x64 ;;
        aarch64 | arm64) cpu=arm64 ;;
        *) die "no Claude Code build for this processor: $(uname -m)" ;;
    esac
    case $(uname -s) in
        Darwin) echo "darwin-$cpu" ;;
        Linux) if ls /lib/ld-musl-* >/dev/null 2>&1; then echo "linux-$cpu-musl"; else echo "linux-$cpu"; fi ;;
        *) die "no Claude Code build for this system: $(uname -s)" ;;
    esac
}

# The sha512 that the lock file has for a package, as hex.
locked_sha512() {
    awk -v key="\"node_modules/$1\": {" 'index($0, key) { on = 1 }
        on && /"integrity"/ { sub(/.*"sha512-/, ""); sub(/".*/, ""); print; exit }' "$lock" |
        base64 -d | od -An -v -tx1 | tr -d ' \n'
}

sha512_of() {
    if command -v sha512sum >/dev/null 2>&1; then sha512sum "$1"; else shasum -a 512 "$1"; fi | cut -d' ' -f1
}

# The package's own install script only copies the binary about, so scripts stay off.
fetch_with_npm() {
    cp "$here/claude/package.json" "$lock" "$work/"
    npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; die "npm could not fetch $package@$version"; }
    binary=$work/node_modules/$package/claude
}

fetch_with_curl() {
    want=$(locked_sha512 "$package")
    [ -n "$want" ] || die "$package is not in $lock"
    url=${NPM_CONFIG_REGISTRY%/}/$package/-/${package#*/}-$version.tgz
    curl -fsSL --retry 3 -o "$work/package.tgz" "$url" || die "curl could not fetch $package@$version"
    [ "$(sha512_of "$work/package.tgz")" = "$want" ] || die "$package@$version does not have the sha512 of the lock file"
    tar -xzf "$work/package.tgz" -C "$work"
    binary=$work/package/claude
}

if [ -n "${CLAUDE_BIN:-}" ]; then
    is_pinned "$CLAUDE_BIN" || die "CLAUDE_BIN=$CLAUDE_BIN is not Claude Code $version"
    printf '%s\n' "$CLAUDE_BIN"
    exit 0
fi

mkdir -p "$dest/bin"
dest=$(CDPATH='' cd -- "$dest" && pwd)
if is_pinned "$dest/bin/claude"; then
    printf '%s\n' "$dest/bin/claude"
    exit 0
fi

package=@anthropic-ai/claude-code-$(platform)
# Beside the target, so that the last step is a rename and two callers at once do no harm.
work=$(mktemp -d "$dest/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

if command -v npm >/dev/null 2>&1; then
    fetch_with_npm
elif [ -n "${NPM_CONFIG_REGISTRY:-}" ] && command -v curl >/dev/null 2>&1; then
    fetch_with_curl
else
    die "Claude Code $version is not in $dest, and npm is not installed. Do one of these and try again:
  install npm (any version from 9 on; Node itself is not used afterwards)
  set NPM_CONFIG_REGISTRY to the address of an npm registry (curl fetches the one archive, sha512 checked)
  set CLAUDE_BIN to a claude executable of version $version"
fi

[ -f "$binary" ] || die "$package has no claude executable"
chmod 755 "$binary"
is_pinned "$binary" || die "the fetched executable does not run, or is not version $version"
mv -f "$binary" "$dest/bin/claude"
printf '%s\n' "$dest/bin/claude"
