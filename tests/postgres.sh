# A throw-away PostgreSQL on loopback and a free port. Sourced: start_postgres sets POSTGRES_URL, stop_postgres ends it.

postgres_bin() {
    local found
    found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
    [ -n "$found" ] || found=$(dirname "$(command -v initdb 2>/dev/null)" 2>/dev/null)
    [ -n "$found" ] && [ -x "$found/initdb" ] && echo "$found"
}

as_postgres() {
    # PostgreSQL refuses to run as root.
    if [ "$(id -u)" -eq 0 ]; then runuser -u "$POSTGRES_USER" -- "$@"; else "$@"; fi
}

start_postgres() {
    if [ -z "$(postgres_bin)" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null 2>&1
    fi
    POSTGRES_BIN=$(postgres_bin) || return 1
    POSTGRES_USER=postgres
    id -u postgres >/dev/null 2>&1 || POSTGRES_USER=nobody
    POSTGRES_DIR=$(mktemp -d)
    [ "$(id -u)" -ne 0 ] || chown "$POSTGRES_USER" "$POSTGRES_DIR"
    as_postgres "$POSTGRES_BIN/initdb" -D "$POSTGRES_DIR/data" -U reprise --auth=trust -E UTF8 --no-instructions >/dev/null || return 1
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || echo 54329)
    as_postgres "$POSTGRES_BIN/pg_ctl" -D "$POSTGRES_DIR/data" -w -s -l "$POSTGRES_DIR/log" \
        -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$POSTGRES_DIR -c max_connections=200" start || return 1
    POSTGRES_URL="postgres://reprise@127.0.0.1:$port/postgres"
}

stop_postgres() {
    as_postgres "$POSTGRES_BIN/pg_ctl" -D "$POSTGRES_DIR/data" -s -m immediate stop || true
    rm -rf "$POSTGRES_DIR"
}
