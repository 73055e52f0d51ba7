#!/usr/bin/env bash
# The demo: two signed webhooks of one pull request, the real Claude Code, and a memory between them.
#
#   demo/demo.sh          builds, starts, shows; stays up until Ctrl-C (make demo)
#   demo/demo.sh start    starts the server again on what the demo left (make demo-start)
#   demo/demo.sh clean    removes everything the demo left (make demo-clean)
#
# DEMO_ONCE=1          ends after the six steps, as it does when the output is no terminal
# DEMO_DIR=DIR         where everything is put; .demo
# DEMO_WORD=WORD       the code word of the offline model; HERON
# ANTHROPIC_API_KEY    when set, the real model is asked, for at most $0.50
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
dir=${DEMO_DIR:-.demo}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd)
log=$dir/log
tty=; [ -t 1 ] && tty=1

say() { printf '%s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }
bold() { if [ -n "$tty" ] && [ -z "${NO_COLOR:-}" ]; then printf '\033[1m%s\033[0m' "$1"; else printf '%s' "$1"; fi; }

# --- processes -------------------------------------------------------------------------------------------------------

# The process behind a pid file, if it still runs this program: a number may have gone to another process meanwhile.
pid_of() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
    case $(args_of "$pid") in *"$2"*) printf '%s' "$pid" ;; *) return 1 ;; esac
}

args_of() { if [ -d /proc/self ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -o args= -p "$1"; fi 2>/dev/null || true; }

# Starts a program in a process group of its own, so that Ctrl-C reaches this script alone, and notes its pid.
launch() {
    local name=$1; shift
    set -m
    "$@" </dev/null &
    printf '%s\n' "$!" >"$dir/$name.pid"
    disown
    set +m
}

# Ends a process, in peace if it goes within ten seconds.
end() {
    local pid i
    pid=$(pid_of "$1" "$2") || { rm -f "$dir/$1.pid"; return 0; }
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$dir/$1.pid"
}

stop_all() {
    end server "reprise serve"
    end model offline-model
}

# --- waiting ---------------------------------------------------------------------------------------------------------

# Runs a command in the background with its output in a log, and says at least every five seconds how far it is.
slowly() {
    local name=$1 out=$log/$1.log begun=$SECONDS last=0 pid state; shift
    "$@" >"$out" 2>&1 &
    pid=$!
    # Ctrl-C must reach it too, also when it is not the terminal that sends it.
    trap 'kill "$pid" 2>/dev/null || true; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        [ $((SECONDS - begun - last)) -ge 4 ] || continue
        last=$((SECONDS - begun))
        state=$(tr '\r' '\n' <"$out" | grep -v '^ *$' | tail -n 1 | cut -c1-52 || true)
        if [ -n "$tty" ]; then printf '\r\033[K%23s… %s s  %s' '' "$last" "$state"; else printf '%23s… %s s  %s\n' '' "$last" "$state"; fi
    done
    trap - INT TERM
    [ -z "$tty" ] || printf '\r\033[K'
    wait "$pid" || { tail -n 20 "$out" >&2; fail "$name did not work; the whole log is $out"; }
    took=$((SECONDS - begun))
}

# Waits until a file has a line that begins with a text, and prints it.
line_of() {
    local i
    for ((i = 0; i < 300; i++)); do
        grep -m 1 "^$2" "$1" 2>/dev/null && return 0
        kill -0 "$3" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

now_ms() { if [ -n "${EPOCHREALTIME:-}" ]; then local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); else echo $((SECONDS * 1000)); fi; }

# --- the parts -------------------------------------------------------------------------------------------------------

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Who listens on a port, as far as this system tells.
listener_of() {
    local who=
    if command -v ss >/dev/null; then who=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (pid \2)/p' | head -n 1); fi
    if [ -z "$who" ] && command -v lsof >/dev/null; then who=$(lsof -nP -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | awk 'NR == 2 { print $1 " (pid " $2 ")" }'); fi
    if [ -z "$who" ] && [ -r /proc/net/tcp ]; then who=$(listener_by_proc "$1"); fi
    printf '%s' "${who:-another program}"
}

listener_by_proc() {
    local hex inode fd pid
    hex=$(printf '%04X' "$1")
    inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }')
    [ -n "$inode" ] || return 0
    for fd in /proc/[0-9]*/fd/*; do
        if [ "$(readlink "$fd" 2>/dev/null)" = "socket:[$inode]" ]; then
            pid=${fd#/proc/}; pid=${pid%%/*}
            printf '%s (pid %s)' "$(cat "/proc/$pid/comm")" "$pid"
            return 0
        fi
    done
}

free_port() {
    local port=${1:-7700}
    while is_taken "$port"; do
        [ "$port" -lt 7799 ] || fail "all ports from 7700 to 7799 are taken"
        say "                       port $port is taken by $(listener_of "$port")" >&2
        port=$((port + 1))
    done
    printf '%s' "$port"
}

toolchain() {
    local have how=found claude begun=$SECONDS
    command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        fail "there is no C compiler: install one (Debian, Ubuntu: apt install build-essential)"
    # What was fetched by an earlier demo.
    if [ -x "$dir/rust/cargo/bin/cargo" ]; then use_own_rust; how=.demo/rust; fi
    have=$(rustc --version 2>/dev/null | awk '{ print $2 }') || true
    if ! new_enough "${have:-0}"; then
        command -v curl >/dev/null || fail "there is no Rust ${need} or newer, and no curl to fetch it with"
        slowly rust fetch_rust
        use_own_rust
        have=$(rustc --version | awk '{ print $2 }'); how="fetched into $dir/rust"
    fi
    slowly claude sh tests/tools/claude.sh .tools/claude
    claude=$(tail -n 1 "$log/claude.log")
    [ -x "$claude" ] || { cat "$log/claude.log" >&2; fail "Claude Code could not be fetched"; }
    printf '%s' "$claude" >"$dir/claude.path"
    step 1 toolchain "rust $have ($how) · claude $(basename_version "$claude")" "$((SECONDS - begun))"
}

need=$(sed -n 's/^rust-version = "\([0-9.]*\)"/\1/p' Cargo.toml | head -n 1)
new_enough() { [ "$(printf '%s\n%s\n' "$need" "$1" | sort -V | head -n 1)" = "$need" ]; }
use_own_rust() { export CARGO_HOME=$dir/rust/cargo RUSTUP_HOME=$dir/rust/rustup PATH="$dir/rust/cargo/bin:$PATH"; }
fetch_rust() {
    export CARGO_HOME=$dir/rust/cargo RUSTUP_HOME=$dir/rust/rustup
    curl --proto '=https' --tlsv1.2 -fsSL https://sh.rustup.rs | sh -s -- -y --no-modify-path --profile minimal --default-toolchain stable
}
basename_version() { sed -n 's/.*"@anthropic-ai\/claude-code": "\([0-9.]*\)".*/\1/p' tests/tools/claude/package.json | tr -d '\n'; printf ' (%s)' "${1#"$root"/}"; }

step() { printf '[%s/6] %-16s %-62s ok%5s s\n' "$1" "$2" "$3" "$4"; }

build() {
    slowly build cargo build --locked --bin reprise --bin offline-model -p reprise -p offline-model
    mkdir -p "$dir/bin"
    ln -sf "${CARGO_TARGET_DIR:-$root/target}/debug/reprise" "$dir/bin/reprise"
    ln -sf "${CARGO_TARGET_DIR:-$root/target}/debug/offline-model" "$dir/bin/offline-model"
    built="reprise, offline-model"
    # The page is not needed for the runs: without npm the server says how to build it.
    if command -v npm >/dev/null; then
        local so_far=$took
        slowly dashboard make --silent dashboard
        took=$((took + so_far)) built="$built, dashboard"
    fi
}

# Writes down each command line, on disk before Claude Code starts.
write_wrapper() {
    cat >"$dir/bin/claude" <<WRAPPER
#!/bin/sh
printf '%s\n' "\$(printf '%s ' "\$@" | tr '\n' ' ')" >>"$log/claude.argv" && sync "$log/claude.argv"
exec "$(cat "$dir/claude.path")" "\$@"
WRAPPER
    chmod 755 "$dir/bin/claude"
}

write_config() {
    rm -rf "$dir/shop" && cp -R demo/shop "$dir/shop"
    {
        printf 'data_dir = "%s"\n\n[server]\nlisten = "127.0.0.1:%s"\ndrain_timeout_seconds = 5\n\n' "$dir/data" "$1"
        printf '[agent.claude]\ncommand = "%s"\n\n' "$dir/bin/claude"
        if [ -n "${2:-}" ]; then printf '[agent.claude.env]\nANTHROPIC_BASE_URL = "http://127.0.0.1:%s"\nANTHROPIC_API_KEY = "offline"\n\n' "$2"; fi
        printf '[workspaces]\nshop = "%s"\n' "$dir/shop"
    } >"$dir/reprise.toml"
}

write_env() {
    (
        umask 077
        cat >"$dir/env.new" <<ENV
# The demo's server, for a shell: source this file.
export PATH="$dir/bin:\$PATH"
export REPRISE_ADDR="127.0.0.1:$1"
export REPRISE_KEY="$2"
rp() { grpcurl -plaintext -H "authorization: Bearer \$REPRISE_KEY" \${2:+-d "\$2"} "\${REPRISE_ADDR:-localhost:7700}" "reprise.v1.\$1"; }
ENV
    )
    mv -f "$dir/env.new" "$dir/env"
}

start_model() {
    if pid_of model offline-model >/dev/null && [ -s "$dir/model.port" ]; then return; fi
    rm -f "$dir/model.port"
    launch model nohup "$dir/bin/offline-model" --port-file "$dir/model.port" --log "$log/model.jsonl" --word "${DEMO_WORD:-HERON}" >"$log/model.log" 2>&1
    line_of "$dir/model.port" '' "$(cat "$dir/model.pid")" >/dev/null || fail "the offline model did not start; its log is $log/model.log"
}

# Starts the server; `ready` is its own word that it is.
start_server() {
    : >"$log/server.out"
    launch server serve "$1" >>"$log/server.out" 2>>"$log/server.log"
    ready=$(line_of "$log/server.out" 'ready on' "$(cat "$dir/server.pid")") ||
        { tail -n 5 "$log/server.log" >&2; fail "the server did not start; its log is $log/server.log"; }
}

# Keys go by the environment: they are in no file but `env`, and in no command line.
serve() {
    export REPRISE__AUTH__ADMIN_KEY=$1
    if [ -n "${ANTHROPIC_API_KEY:-}" ]; then
        export REPRISE__AGENT__CLAUDE__ENV__ANTHROPIC_API_KEY=$ANTHROPIC_API_KEY
        [ -z "${ANTHROPIC_BASE_URL:-}" ] || export REPRISE__AGENT__CLAUDE__ENV__ANTHROPIC_BASE_URL=$ANTHROPIC_BASE_URL
    fi
    exec nohup "$dir/bin/reprise" serve --config "$dir/reprise.toml"
}

# --- what can be asked for -------------------------------------------------------------------------------------------

# Starts model and server on the directory as it is: `port`, and `ready` with the server's own word.
start() {
    local key model_port=
    key=$(sed -n 's/^export REPRISE_KEY="\(.*\)"/\1/p' "$dir/env" 2>/dev/null || true)
    [ -n "$key" ] || key=rk_$(od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n')
    if [ -z "${ANTHROPIC_API_KEY:-}" ]; then
        start_model
        model_port=$(cat "$dir/model.port")
    fi
    port=$(free_port "$1")
    write_wrapper
    write_config "$port" "$model_port"
    write_env "$port" "$key"
    start_server "$key"
    export REPRISE_ADDR=127.0.0.1:$port REPRISE_KEY=$key
}

start_again() {
    local begun
    [ -f "$dir/env" ] && [ -x "$dir/bin/reprise" ] || fail "there is no demo to start again; make demo makes one"
    if pid_of server "reprise serve" >/dev/null; then fail "the server runs already (pid $(cat "$dir/server.pid"))"; fi
    begun=$(now_ms)
    start "$(sed -n 's/^export REPRISE_ADDR=".*:\([0-9]*\)"/\1/p' "$dir/env")"
    begun=$(($(now_ms) - begun))
    say "$ready" | sed -E "s#^(ready on [^ ]*)#\1 in $((begun / 1000)).$((begun % 1000 / 100)) s#"
}

clean() {
    stop_all
    rm -rf "$dir"
    say "removed $dir"
}

demo() {
    if pid_of server "reprise serve" >/dev/null; then
        fail "a demo runs here already (pid $(cat "$dir/server.pid")): stop it with Ctrl-C in its terminal, or with make demo-clean"
    fi
    mkdir -p "$log"
    : >"$log/claude.argv"
    rm -f "$log/model.jsonl"
    say "reprise demo · nothing outside this folder is touched but cargo's cache · needs: curl, a C compiler   (stop: Ctrl-C)"
    if [ -n "${ANTHROPIC_API_KEY:-}" ]; then say "$(bold 'real model, up to $0.50'): ANTHROPIC_API_KEY is set, and each of the two runs may cost \$0.25"; fi
    toolchain
    build
    step 2 build "$built" "$took"
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    trap stop_all EXIT
    end model offline-model
    local begun=$SECONDS model="offline (no key, no cost)" proof=(--argv-log "$log/claude.argv")
    if [ -n "${ANTHROPIC_API_KEY:-}" ]; then model="real"; else proof+=(--model-log "$log/model.jsonl"); fi
    start 7700
    step 3 start "http://127.0.0.1:$port · SQLite · model: $model" "$((SECONDS - begun))"
    say "                       ⚠ sandbox: off; this version has none (reprise doctor says more)"
    if ! "$dir/bin/reprise" demo-run --workspace shop "${proof[@]}"; then
        say; say "not everything is as it should be; the logs are in ${dir#"$root"/}/log"
        exit 1
    fi
    say
    if [ -n "${DEMO_ONCE:-}" ] || [ -z "$tty" ]; then return; fi
    say "Dashboard  $("$dir/bin/reprise" dashboard)  (signs in once, then the link is dead)"
    say "gRPC       grpcurl -plaintext -H \"authorization: Bearer \$REPRISE_KEY\" 127.0.0.1:$port list"
    say "Shell      source ${dir#"$root"/}/env      Still running; Ctrl-C stops everything and leaves ${dir#"$root"/} (make demo-clean removes it)."
    stay
}

# Until Ctrl-C. The server may be killed and started again meanwhile.
stay() {
    local gone=
    trap 'say; say "stopping"; exit 0' INT
    while :; do
        sleep 1
        if pid_of server "reprise serve" >/dev/null; then gone=; continue; fi
        [ -n "$gone" ] || say "the server is gone; make demo-start starts it again"
        gone=1
    done
}

case ${1:-} in
    '') demo ;;
    start) mkdir -p "$log"; start_again ;;
    clean) clean ;;
    *) fail "unknown: $1" ;;
esac
