"""Webhooks signed as their senders sign them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Callable

from reprise import v1

Headers = dict[str, str]

_HASHES = {
    v1.HMAC_ALGORITHM_UNSPECIFIED: "sha256",
    v1.HMAC_ALGORITHM_SHA256: "sha256",
    v1.HMAC_ALGORITHM_SHA1: "sha1",
    v1.HMAC_ALGORITHM_SHA512: "sha512",
}


def source_of(source: str | v1.Source.ValueType) -> v1.Source.ValueType:
    """`"github"` or `v1.SOURCE_GITHUB`."""
    if not isinstance(source, str):
        return source
    try:
        return v1.Source.Value(f"SOURCE_{source.upper()}")
    except ValueError:
        known = ", ".join(name.removeprefix("SOURCE_").lower() for name in v1.Source.keys()[1:])
        raise ValueError(f"`{source}` is no source; there are {known}") from None


def signed_headers(
    source: v1.Source.ValueType,
    secret: str,
    body: bytes,
    *,
    event: str | None = None,
    delivery_id: str | None = None,
    profile: v1.HmacProfile | None = None,
) -> Headers:
    """The headers with which a sender of this source delivers `body`."""
    make = _SENDERS.get(source)
    if make is None:
        raise ValueError(f"{v1.Source.Name(source)} sends no webhooks")
    headers = {"content-type": "application/json"}
    headers |= make(secret, body, event, delivery_id or str(uuid.uuid4()), profile or v1.HmacProfile())
    return headers


def _mac(key: bytes, signed: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key, signed, getattr(hashlib, algorithm)).digest()


def _github(secret: str, body: bytes, event: str | None, delivery_id: str, _: v1.HmacProfile) -> Headers:
    signature = f"sha256={_mac(secret.encode(), body).hex()}"
    return {"x-github-delivery": delivery_id, "x-hub-signature-256": signature} | ({"x-github-event": event} if event else {})


def _linear(secret: str, body: bytes, event: str | None, delivery_id: str, _: v1.HmacProfile) -> Headers:
    signature = _mac(secret.encode(), body).hex()
    return {"linear-delivery": delivery_id, "linear-signature": signature} | ({"linear-event": event} if event else {})


def _clickup(secret: str, body: bytes, _event: str | None, _id: str, _: v1.HmacProfile) -> Headers:
    return {"x-signature": _mac(secret.encode(), body).hex()}


def _standard_webhooks(secret: str, body: bytes, _event: str | None, delivery_id: str, _: v1.HmacProfile) -> Headers:
    now = str(int(time.time()))
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        # As the server does: a secret that is not base64 is taken as it is.
        key = secret.encode()
    signature = base64.b64encode(_mac(key, f"{delivery_id}.{now}.".encode() + body)).decode()
    return {"webhook-id": delivery_id, "webhook-timestamp": now, "webhook-signature": f"v1,{signature}"}


def _generic_hmac(secret: str, body: bytes, _event: str | None, delivery_id: str, profile: v1.HmacProfile) -> Headers:
    now = str(int(time.time()))
    places = {b"{body}": body, b"{timestamp}": now.encode(), b"{id}": delivery_id.encode()}
    template = (profile.signed_template or "{body}").encode()
    signed = re.sub(rb"\{(?:body|timestamp|id)\}", lambda place: places[place[0]], template)
    mac = _mac(secret.encode(), signed, _HASHES[profile.algorithm])
    is_base64 = profile.encoding == v1.HMAC_ENCODING_BASE64
    headers = {profile.header or "x-signature": profile.prefix + (base64.b64encode(mac).decode() if is_base64 else mac.hex())}
    if profile.timestamp_header:
        headers[profile.timestamp_header] = now
    if profile.id_header:
        headers[profile.id_header] = delivery_id
    return headers


_SENDERS: dict[v1.Source.ValueType, Callable[[str, bytes, str | None, str, v1.HmacProfile], Headers]] = {
    v1.SOURCE_GITHUB: _github,
    v1.SOURCE_LINEAR: _linear,
    v1.SOURCE_CLICKUP: _clickup,
    v1.SOURCE_STANDARD_WEBHOOKS: _standard_webhooks,
    v1.SOURCE_GENERIC_HMAC: _generic_hmac,
}
