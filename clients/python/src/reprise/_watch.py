"""A run, followed across lost connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from reprise import errors, v1

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
# What a connection that breaks may end with besides UNAVAILABLE. The server's own errors always say their reason.
_BREAKS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
_ENDS = {v1.RUN_STATE_SUCCEEDED, v1.RUN_STATE_FAILED, v1.RUN_STATE_CANCELLED}


class Watch(Iterator[v1.JournalEntry]):
    """The journal of a run, entry by entry: what is there already, then live, until the run has ended.

    When the connection is cut, the server restarts, or nothing comes for `silence` seconds (it sends a sign of life every
    ten), it calls again with the last sequence: no entry is left out and none comes twice. A server that was never
    reached is said at once; one that is lost is looked for during `patience` seconds.

    Leave it early with `close`, or use it in a `with` statement.
    """

    run: v1.Run | None
    """The run as it is now. None before the first message."""
    sequence: int | None
    """Sequence of the last entry so far. None before the first message."""

    def __init__(
        self,
        channel: grpc.Channel,
        reopen: Callable[[], grpc.Channel],
        request: v1.WatchRunRequest,
        *,
        silence: float,
        patience: float,
        timeout: float | None,
    ) -> None:
        self.run = None
        self.sequence = None
        self._channel = channel
        self._reopen = reopen
        # A connection of its own, in place of one that fell silent.
        self._own: grpc.Channel | None = None
        self._request = request
        self._silence = silence
        self._patience = patience
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._lost_since: float | None = None
        self._closed = threading.Event()
        self._call: Any = None
        self._messages = self._follow()

    def __next__(self) -> v1.JournalEntry:
        for message in self._messages:
            if message.HasField("entry"):
                return message.entry
        raise StopIteration

    def messages(self) -> Iterator[v1.WatchRunResponse]:
        """The same as the server sends it: with snapshots of the run, deltas if asked for, and heartbeats."""
        return self._messages

    def close(self) -> None:
        """Ends it; may be called from another thread, and twice."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def _is_finished(self) -> bool:
        return self.run is not None and self.run.state in _ENDS

    def _follow(self) -> Iterator[v1.WatchRunResponse]:
        try:
            yield from self._connections()
        finally:
            if self._own is not None:
                self._own.close()

    def _connections(self) -> Iterator[v1.WatchRunResponse]:
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            before = self.sequence
            try:
                yield from self._connection()
                if self._is_finished:
                    return
                raise errors.Unavailable("the stream ended before the run")
            except errors.RepriseError as error:
                if self._closed.is_set():
                    return
                self._give_up_or_go_on(error)
                pause = _FIRST_PAUSE if self.sequence != before else pause
                self._closed.wait(max(pause, min(error.retry_delay or 0, _LONGEST_PAUSE)))
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _give_up_or_go_on(self, error: errors.RepriseError) -> None:
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise TimeoutError(f"run `{self._request.run_id}` has not ended in time") from error
        passes = isinstance(error, errors.Unavailable) or (error.code in _BREAKS and not error.reason)
        self._lost_since = self._lost_since or now
        if not passes or self.run is None or now - self._lost_since > self._patience:
            raise error

    def _connection(self) -> Iterator[v1.WatchRunResponse]:
        """One connection: until it ends, or the run."""
        if self.sequence is not None:
            self._request.after_sequence = self.sequence
        left = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.001)
        call = self._call = v1.RunServiceStub(self._own or self._channel).WatchRun(self._request, timeout=left)
        watchdog = _Watchdog(self._silence, call.cancel)
        try:
            while (message := self._next(call, watchdog)) is not None:
                self._lost_since = None
                self.sequence = message.sequence
                if message.HasField("run"):
                    self.run = message.run
                yield message
        finally:
            watchdog.end()
            call.cancel()

    def _renew(self) -> None:
        """A call would go over the same connection again, which may be dead without knowing it."""
        if self._own is not None:
            self._own.close()
        self._own = self._reopen()

    def _next(self, call: Iterator[v1.WatchRunResponse], watchdog: _Watchdog) -> v1.WatchRunResponse | None:
        # Only waiting counts as silence, not what the reader does between two messages.
        watchdog.begin()
        try:
            return next(call, None)
        except errors.RepriseError as error:
            if watchdog.has_bitten:
                self._renew()
                raise errors.Unavailable(f"the server has been silent for {self._silence:g} s") from error
            raise
        finally:
            watchdog.pause()


class _Watchdog:
    """Calls `bite` when one wait takes longer than `limit`: a read of a stream has no deadline of its own."""

    def __init__(self, limit: float, bite: Callable[[], Any]) -> None:
        self.has_bitten = False
        self._limit = limit
        self._bite = bite
        self._until: float | None = None
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._watch, name="reprise-watchdog", daemon=True).start()

    def begin(self) -> None:
        with self._changed:
            # A thread that sleeps until an earlier moment finds this one by itself.
            asleep_for_good = self._until is None
            self._until = time.monotonic() + self._limit
            if asleep_for_good:
                self._changed.notify()

    def pause(self) -> None:
        with self._changed:
            self._until = None

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._ended:
                left = None if self._until is None else self._until - time.monotonic()
                if left is not None and left <= 0:
                    self.has_bitten = True
                    break
                self._changed.wait(left)
        if self.has_bitten:
            self._bite()
