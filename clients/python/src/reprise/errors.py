"""What is raised when an rpc fails: one class for each status code, with the details that the server gave.

    try:
        api.fire("no-such-trigger")
    except reprise.errors.NotFound as error:
        print(error.reason, error.metadata)   # RESOURCE_NOT_FOUND {'kind': 'trigger', …}

A run that failed is not an error: its `state` and `failure` say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import grpc
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]


class RepriseError(Exception):
    """An rpc that failed."""

    code: grpc.StatusCode
    """The gRPC status code."""
    message: str
    """What happened, in one sentence for people."""
    reason: str
    """Why, as a name of `ErrorReason` without its prefix, such as `FIELD_INVALID`. Empty: not said by the server."""
    metadata: Mapping[str, str]
    """Details by name; which ones, `ErrorReason` says for each reason."""
    fields: Mapping[str, str]
    """For each field that is wrong its path, and what is wrong with it."""
    retry_delay: float | None
    """Seconds after which it may work. None: waiting alone does not help."""

    _default: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self._default
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.fields = dict(fields or {})
        self.retry_delay = retry_delay

    @property
    def trace_id(self) -> str:
        """Id under which the server's log has the details. Empty: none."""
        return self.metadata.get("trace_id", "")

    def __str__(self) -> str:
        return f"{self.message} ({self.reason or self.code.name})"


class InvalidArgument(RepriseError):
    """A field, expression, template, mask or token is wrong; `fields` names the fields."""

    _default = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(RepriseError):
    """There is no such resource."""

    _default = grpc.StatusCode.NOT_FOUND


class AlreadyExists(RepriseError):
    """Another trigger has this slug."""

    _default = grpc.StatusCode.ALREADY_EXISTS


class Aborted(RepriseError):
    """The resource was changed since it was read."""

    _default = grpc.StatusCode.ABORTED


class FailedPrecondition(RepriseError):
    """The resource is not in a state for this; `reason` says why."""

    _default = grpc.StatusCode.FAILED_PRECONDITION


class OutOfRange(RepriseError):
    """A sequence beyond the last entry."""

    _default = grpc.StatusCode.OUT_OF_RANGE


class ResourceExhausted(RepriseError):
    """A queue is full, or a message too large."""

    _default = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unauthenticated(RepriseError):
    """The API key is missing, unknown or no longer valid."""

    _default = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(RepriseError):
    """The API key may not do this."""

    _default = grpc.StatusCode.PERMISSION_DENIED


class Unavailable(RepriseError):
    """The server cannot be reached, is stopping, or cannot reach its database."""

    _default = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(RepriseError):
    """The answer did not come in time; what was asked may still have happened."""

    _default = grpc.StatusCode.DEADLINE_EXCEEDED


class Unimplemented(RepriseError):
    """The server does not have this rpc."""

    _default = grpc.StatusCode.UNIMPLEMENTED


_CLASSES = {kind._default: kind for kind in RepriseError.__subclasses__()}


def from_call(call: Any) -> RepriseError:
    """The error of a call that gRPC reports as failed, with the details of its status."""
    code = call.code()
    error = _CLASSES.get(code, RepriseError)(call.details() or "", code=code)
    try:
        status = rpc_status.from_call(call)
    except ValueError:
        # A proxy's details that contradict its status say nothing.
        status = None
    if status is not None:
        _add_details(error, status)
    return error


def _add_details(error: RepriseError, status: Any) -> None:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            error.reason, error.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            error.fields = {violation.field: violation.description for violation in bad.field_violations}
        elif detail.Unpack(retry):
            error.retry_delay = retry.retry_delay.ToTimedelta().total_seconds()
