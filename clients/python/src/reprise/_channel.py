"""The way to a server: its address, TLS, the API key, deadlines, and errors with their details."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from reprise import errors

_DEFAULT_ADDRESS = "127.0.0.1:7700"
_LARGEST_MESSAGE = 32 << 20
_LOOPBACK = re.compile(r"localhost:|127\.|\[::1\]")

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.primary_user_agent", "reprise-python/0.1.0"),
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    # A connection that is gone without a word is noticed, also while a stream is silent.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A new channel is a new connection, not one that another channel has already.
    ("grpc.use_local_subchannel_pool", 1),
    # A server that restarts is found again within seconds.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]


class Place(NamedTuple):
    """Where a server is."""

    target: str
    secure: bool


def place_of(address: str) -> Place:
    """Reads `localhost:7700`, `http://host:port` and `https://host[:port]`."""
    text = address.strip()
    scheme, rest = text.split("://", 1) if "://" in text else ("http", text)
    rest = rest.rstrip("/")
    if scheme not in ("http", "https") or not rest or "/" in rest or any(c.isspace() for c in rest):
        raise ValueError(f"`{address}` is no address: expected HOST:PORT, http://HOST:PORT or https://HOST")
    has_port = rest.rpartition(":")[2].isdigit() and not rest.endswith("]")
    default = 443 if scheme == "https" else 80
    return Place(rest if has_port else f"{rest}:{default}", scheme == "https")


def from_environment(*names: str) -> str | None:
    """The first of these variables that says something."""
    return next((value for value in (os.environ.get(name, "").strip() for name in names) if value), None)


def open_channel(address: str | None, key: str | None, ca_file: str | Path | None, timeout: float | None) -> grpc.Channel:
    """A channel with everything that the services need. It connects with the first call, and again when it must."""
    place = place_of(address or from_environment("REPRISE_ADDR", "REPRISE_URL") or _DEFAULT_ADDRESS)
    key = key or from_environment("REPRISE_KEY", "REPRISE_API_KEY")
    if key and not (key.strip().isascii() and key.strip().isprintable()):
        # The key itself must not appear in the message.
        raise ValueError("the API key has characters that no key has")
    # A proxy of the environment is no way to this machine.
    options = _OPTIONS + ([("grpc.enable_http_proxy", 0)] if _LOOPBACK.match(place.target) else [])
    if place.secure:
        ca_file = ca_file or from_environment("REPRISE_CA_FILE")
        trusted = Path(ca_file).read_bytes() if ca_file else None
        channel = grpc.secure_channel(place.target, grpc.ssl_channel_credentials(trusted), options)
    else:
        channel = grpc.insecure_channel(place.target, options)
    return grpc.intercept_channel(channel, _Calls(key.strip() if key else None, timeout))


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Calls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds key and deadline to each call, and turns what gRPC raises into our errors."""

    def __init__(self, key: str | None, timeout: float | None) -> None:
        self._metadata = [("authorization", f"Bearer {key}")] if key else []
        self._timeout = timeout

    def _with(self, details: Any, timeout: float | None) -> _Details:
        metadata = [*(details.metadata or ()), *self._metadata]
        return _Details(details.method, timeout, metadata, details.credentials, details.wait_for_ready, details.compression)

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        timeout = client_call_details.timeout
        return _Answer(continuation(self._with(client_call_details, self._timeout if timeout is None else timeout), request))

    def intercept_unary_stream(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        # A stream may take as long as its run.
        return _Stream(continuation(self._with(client_call_details, client_call_details.timeout), request))


class _Wrapped:
    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _Answer(_Wrapped):
    """A unary call whose `result` raises our errors."""

    def result(self, timeout: float | None = None) -> Any:
        """The answer."""
        try:
            return self._call.result(timeout)
        except grpc.RpcError as error:
            raise errors.from_call(error) from None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Why there is no answer."""
        error: BaseException | None = self._call.exception(timeout)
        return errors.from_call(error) if isinstance(error, grpc.RpcError) else error


class _Stream(_Wrapped):
    """A stream that raises our errors."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise errors.from_call(error) from None
