"""The client: the services of one server, and the few calls that most programs need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

import grpc

from reprise import _channel, _signing, v1
from reprise._watch import Watch

Json = Mapping[str, Any]


def connect(
    address: str | None = None,
    key: str | None = None,
    *,
    ca_file: str | Path | None = None,
    timeout: float | None = 30.0,
) -> Client:
    """Prepares the connection to a server; it is made with the first call.

    `address` is `localhost:7700`, `http://host:port` or `https://host`. Without it REPRISE_ADDR or REPRISE_URL counts,
    without `key` REPRISE_KEY or REPRISE_API_KEY. `ca_file` (REPRISE_CA_FILE) holds the certificates to trust with
    `https://`, as PEM, in place of the usual ones. `timeout` is the deadline, in seconds, of each call that is no stream.
    """
    return Client(lambda: _channel.open_channel(address, key, ca_file, timeout))


class Client:
    """The services of one server. Safe to use from several threads; made by `connect`.

    Every rpc is in one of the services below, with the messages of `reprise.v1`; the methods are short ways to the most
    used ones. All of them raise the classes of `reprise.errors`.
    """

    triggers: v1.TriggerServiceStub
    """Triggers and their deliveries."""
    runs: v1.RunServiceStub
    """Runs, live and finished."""
    sessions: v1.SessionServiceStub
    """The conversation of each thread."""
    settings: v1.SettingsServiceStub
    """What changes at run time, and what the server is."""
    access: v1.AccessServiceStub
    """Who may call."""
    gateway: v1.WebhookGatewayServiceStub
    """For gateways that receive webhooks in place of the server."""

    def __init__(self, open_channel: Callable[[], grpc.Channel]) -> None:
        self._open = open_channel
        channel = self._channel = open_channel()
        self.triggers = v1.TriggerServiceStub(channel)
        self.runs = v1.RunServiceStub(channel)
        self.sessions = v1.SessionServiceStub(channel)
        self.settings = v1.SettingsServiceStub(channel)
        self.access = v1.AccessServiceStub(channel)
        self.gateway = v1.WebhookGatewayServiceStub(channel)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Triggers and deliveries

    def create_trigger(
        self,
        slug: str,
        source: str | v1.Source.ValueType,
        prompt: str | None = None,
        *,
        secret: str | None = None,
        validate_only: bool = False,
        request_id: str = "",
        **fields: Any,
    ) -> v1.CreateTriggerResponse:
        """Creates a trigger; the answer carries its webhook address and, this once, the secret that was made for it.

        `source` is `"github"` or a value of `v1.Source`; `prompt` is the template of a run's first turn; `secret` is for
        senders that issue their own. `fields` are further fields of `v1.Trigger`: `resume_sessions=True`,
        `filter_expression="…"`, `run_limits={"max_cost_usd": 1}`.
        """
        if prompt is not None:
            fields["prompt"] = v1.PromptAction(template=prompt)
        trigger = v1.Trigger(slug=slug, source=_signing.source_of(source), **fields)
        request = v1.CreateTriggerRequest(trigger=trigger, secret=secret, request_id=request_id, validate_only=validate_only)
        return self.triggers.CreateTrigger(request)

    def get_trigger(self, trigger_id: str) -> v1.Trigger:
        """Reads a trigger by id or slug."""
        return self.triggers.GetTrigger(v1.GetTriggerRequest(trigger_id=trigger_id)).trigger

    def list_triggers(self, **filters: Any) -> Iterator[v1.Trigger]:
        """All triggers that fit the fields of `v1.ListTriggersRequest`, newest first, page by page."""
        return _pages(self.triggers.ListTriggers, v1.ListTriggersRequest(**filters), "triggers")

    def fire(
        self,
        trigger_id: str,
        payload: Json | bytes | None = None,
        *,
        sample: str | None = None,
        event: str | None = None,
        headers: Mapping[str, str] | None = None,
        thread_key: str | None = None,
        session_mode: v1.SessionMode.ValueType = v1.SESSION_MODE_UNSPECIFIED,
        prompt: str | None = None,
        skip_filter: bool = False,
        validate_only: bool = False,
        request_id: str = "",
    ) -> v1.FireTriggerResponse:
        """Fires a trigger by hand; the answer's `run` is absent when its rules stop the event.

        `payload` is the event's body, as JSON or as bytes; `sample` takes one of the source's own instead. `event` is the
        kind that some senders name in a header, such as `issue_comment`. With `validate_only` nothing runs, and the
        `explanation` says what would.
        """
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if event is not None:
            # Each source reads its own.
            sent |= {"x-github-event": event, "linear-event": event}
        request = v1.FireTriggerRequest(
            trigger_id=trigger_id,
            headers=[v1.Header(name=name, value=value) for name, value in sent.items()],
            thread_key=thread_key,
            session_mode=session_mode,
            prompt=prompt,
            skip_filter=skip_filter,
            validate_only=validate_only,
            request_id=request_id,
        )
        if sample is not None:
            request.sample = sample
        elif payload is not None:
            request.body = _body(payload)
        return self.triggers.FireTrigger(request)

    def deliver(
        self,
        slug: str,
        secret: str,
        payload: Json | bytes,
        *,
        event: str | None = None,
        delivery_id: str | None = None,
        source: str | v1.Source.ValueType | None = None,
        hmac: v1.HmacProfile | None = None,
    ) -> v1.DeliverWebhookResponse:
        """Delivers a webhook, signed as its sender signs it, through the gateway rpc.

        How to sign is read from the trigger, or is that of `source` (with `hmac` for generic senders). `event` is its
        kind, where the sender names it in a header. `delivery_id` is the sender's; the same one twice is a duplicate.
        A webhook that is refused is an answer, not an error: see `outcome`, `reason` and `reply`.
        """
        if source is None:
            trigger = self.get_trigger(slug)
            source, hmac = trigger.source, hmac or trigger.hmac
        body = _body(payload)
        kind = _signing.source_of(source)
        headers = _signing.signed_headers(kind, secret, body, event=event, delivery_id=delivery_id, profile=hmac)
        raw = [v1.RawHeader(name=name, value=value.encode()) for name, value in headers.items()]
        return self.gateway.DeliverWebhook(v1.DeliverWebhookRequest(slug=slug, headers=raw, body=body))

    def list_deliveries(self, **filters: Any) -> Iterator[v1.Delivery]:
        """All deliveries that fit the fields of `v1.ListDeliveriesRequest`, newest first, page by page."""
        return _pages(self.triggers.ListDeliveries, v1.ListDeliveriesRequest(**filters), "deliveries")

    # Runs

    def get_run(self, run_id: str) -> v1.Run:
        """Reads a run."""
        return self.runs.GetRun(v1.GetRunRequest(run_id=run_id)).run

    def list_runs(self, **filters: Any) -> Iterator[v1.Run]:
        """All runs that fit the fields of `v1.ListRunsRequest`, newest first, page by page."""
        return _pages(self.runs.ListRuns, v1.ListRunsRequest(**filters), "runs")

    def watch(
        self,
        run_id: str,
        *,
        after_sequence: int | None = None,
        tail: int | None = None,
        include_raw: bool = False,
        include_partial: bool = False,
        silence: float = 30.0,
        patience: float = 300.0,
        timeout: float | None = None,
    ) -> Watch:
        """Follows a run to its end: its journal from the place asked for, then live, across lost connections.

        `after_sequence` begins after that entry, `tail` with the last so many; by default it begins with the first one.
        `timeout` raises TimeoutError when the run has not ended by then. `Watch` says what else there is.
        """
        request = v1.WatchRunRequest(run_id=run_id, include_raw=include_raw, include_partial=include_partial)
        if after_sequence is not None:
            request.after_sequence = after_sequence
        if tail is not None:
            request.tail = tail
        return Watch(self._channel, self._open, request, silence=silence, patience=patience, timeout=timeout)

    def wait(self, run_id: str, *, timeout: float | None = None) -> v1.Run:
        """Waits until a run has ended and gives it; TimeoutError when that takes longer than `timeout` seconds."""
        with self.watch(run_id, tail=0, timeout=timeout) as entries:
            for _ in entries:
                pass
        return self.get_run(run_id)

    def cancel_run(self, run_id: str, reason: str = "", mode: v1.CancelMode.ValueType = v1.CANCEL_MODE_UNSPECIFIED) -> v1.Run:
        """Cancels a run; a finished one is left as it is."""
        return self.runs.CancelRun(v1.CancelRunRequest(run_id=run_id, reason=reason, mode=mode)).run

    # Sessions

    def get_session(self, session_id: str | None = None, *, trigger_id: str | None = None, thread_key: str | None = None) -> v1.Session:
        """Reads a session by its id, or by its trigger (id or slug) and thread."""
        request = v1.GetSessionRequest(session_id=session_id or "", trigger_id=trigger_id or "", thread_key=thread_key or "")
        return self.sessions.GetSession(request).session

    def list_sessions(self, **filters: Any) -> Iterator[v1.Session]:
        """All sessions that fit the fields of `v1.ListSessionsRequest`, by page."""
        return _pages(self.sessions.ListSessions, v1.ListSessionsRequest(**filters), "sessions")


def _body(payload: Json | bytes) -> bytes:
    # As text it keeps the order of its fields and the digits of its numbers.
    return payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


class _Page(Protocol):
    next_page_token: str


_Request = TypeVar("_Request")


def _pages(call: Callable[[_Request], _Page], request: _Request, field: str) -> Iterator[Any]:
    token = cast(Any, request)
    while True:
        page = call(request)
        yield from getattr(page, field)
        if not page.next_page_token:
            return
        token.page_token = page.next_page_token
