#!/usr/bin/env python3
"""Runs a command beside real servers: one plain, one with TLS, and a proxy that cuts and stalls connections.

usage: tests/clients/harness.py [--agent fake|claude] COMMAND…

`--agent fake` runs the test double; `--agent claude` the real Claude Code (REPRISE_TEST_CLAUDE) against the offline model.
The programs are those of REPRISE_TEST_BIN, by default target/debug. The command finds in its environment:

REPRISE_ADDR, REPRISE_KEY    the plain server
TEST_TLS_ADDR, TEST_CA_FILE  `https://…` of the server with TLS, and who signed its certificate
TEST_PROXY_ADDR              the plain server through the proxy
TEST_CONTROL                 host:port of the control: one connection, one word, one answer
                               cut      breaks the connections that are open now; says how many
                               stall    the connections that are open now stay open and carry nothing any more; says how many
                               count    says how many there have been
                               restart  stops the plain server as an operator does, and starts it again; says `ok`
"""

import argparse
import contextlib
import os
import secrets
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("REPRISE_TEST_BIN") or Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug")


class Server:
    """The real server, on a data directory of its own."""

    def __init__(self, home, environment, tls=None):
        self.home = home
        self.home.mkdir()
        self.environment = environment
        self.config = "[server]\ndrain_timeout_seconds = 2\n"
        if tls:
            self.config += f'[server.tls]\ncertificate_file = "{tls[0]}"\nkey_file = "{tls[1]}"\n'
        self.process = None
        self.port = 0

    def start(self):
        """Starts it, again on the same port, and waits until it serves."""
        config, address = self.home / "reprise.toml", self.home / "data/address"
        config.write_text(self.config)
        address.unlink(missing_ok=True)
        command = [BIN / "reprise", "serve", "--listen", f"127.0.0.1:{self.port}", "--config", config, "--data-dir", self.home / "data"]
        with open(self.home / "log", "a") as log:
            self.process = subprocess.Popen(command, env=os.environ | self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while not (address.exists() and address.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > until:
                sys.exit(f"the server did not start:\n{(self.home / 'log').read_text()}")
            time.sleep(0.02)
        self.port = int(address.read_text().strip().rpartition(":")[2])

    def stop(self):
        """Ends it as an operator would, and waits."""
        end(self.process)


def end(process):
    """Ends a process, by force when it does not go."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Proxy:
    """Passes bytes between its clients and the plain server."""

    def __init__(self, server):
        self.server = server
        self.pairs = []
        self.count = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:{}".format(self.listener.getsockname()[1])
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                upstream = socket.create_connection(("127.0.0.1", self.server.port))
            except OSError:
                client.close()
                continue
            pair = Pair(client, upstream)
            with self.lock:
                self.count += 1
                self.pairs = [other for other in self.pairs if other.is_open] + [pair]
            for source, target in ((client, upstream), (upstream, client)):
                threading.Thread(target=pair.pump, args=(source, target), daemon=True).start()

    def each(self, act):
        with self.lock:
            open_now = [pair for pair in self.pairs if pair.is_open and not pair.is_stalled]
        for pair in open_now:
            act(pair)
        return len(open_now)


class Pair:
    """A connection through the proxy."""

    def __init__(self, client, upstream):
        self.sockets = (client, upstream)
        self.is_open = True
        self.is_stalled = False
        for one in self.sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.is_stalled:
                    target.sendall(data)
        self.cut()

    def cut(self):
        """Breaks it at once, with what is on its way."""
        if self.is_open:
            self.is_open = False
            for one in self.sockets:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RD)
                    one.close()

    def stall(self):
        self.is_stalled = True


def control(proxy):
    """What the tests ask for."""

    def restart():
        proxy.server.stop()
        proxy.server.start()
        return "ok"

    words = {"cut": lambda: proxy.each(Pair.cut), "stall": lambda: proxy.each(Pair.stall), "count": lambda: proxy.count, "restart": restart}

    class Control(socketserver.StreamRequestHandler):
        def handle(self):
            word = self.rfile.readline().decode().strip()
            self.wfile.write(f"{words[word]() if word in words else 'unknown'}\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Control)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "127.0.0.1:{}".format(server.server_address[1])


def certificate(home):
    """An authority of our own, and a certificate for loopback that it signed."""

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=home)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test CA", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (home / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "server.crt")
    return home / "ca.crt", home / "server.crt", home / "server.key"


def model(home):
    """The offline model, and its address."""
    port = home / "model.port"
    command = [BIN / "offline-model", "--port-file", port, "--log", home / "model.log"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not (port.exists() and port.read_text().strip()):
        if process.poll() is not None or time.monotonic() > until:
            sys.exit("the offline model did not start")
        time.sleep(0.02)
    return process, f"http://127.0.0.1:{port.read_text().strip()}"


def main():
    parser = argparse.ArgumentParser(usage="harness.py [--agent fake|claude] COMMAND…")
    parser.add_argument("--agent", choices=("fake", "claude"), default="fake")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    # A stopped test run stops what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    with tempfile.TemporaryDirectory(prefix="reprise-clients-") as place, contextlib.ExitStack() as started:
        home, key = Path(place), "rk_" + secrets.token_hex(32)
        environment = {"REPRISE__AUTH__ADMIN_KEY": key, "REPRISE__AGENT__CLAUDE__COMMAND": str(BIN / "fake-claude")}
        if arguments.agent == "claude":
            process, url = model(home)
            started.callback(end, process)
            environment |= {
                "REPRISE__AGENT__CLAUDE__COMMAND": os.environ["REPRISE_TEST_CLAUDE"],
                "REPRISE__AGENT__CLAUDE__ENV__ANTHROPIC_BASE_URL": url,
                "REPRISE__AGENT__CLAUDE__ENV__ANTHROPIC_API_KEY": "sk-test-key-of-nobody",
            }
        authority, *tls = certificate(home)
        plain, secure = Server(home / "plain", environment), Server(home / "secure", environment, tls)
        for server in (plain, secure):
            started.callback(server.stop)
            server.start()
        proxy = Proxy(plain)
        told = {
            "REPRISE_ADDR": f"127.0.0.1:{plain.port}",
            "REPRISE_KEY": key,
            "TEST_TLS_ADDR": f"https://localhost:{secure.port}",
            "TEST_CA_FILE": str(authority),
            "TEST_PROXY_ADDR": proxy.address,
            "TEST_CONTROL": control(proxy),
        }
        code = subprocess.run(arguments.command, env=os.environ | told, check=False).returncode
        if code != 0:
            print(f"--- the server's last words\n{(plain.home / 'log').read_text()[-3000:]}", file=sys.stderr)
        return code


if __name__ == "__main__":
    sys.exit(main())
