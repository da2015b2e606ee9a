"""ETags: an answer that did not change is not sent again (`If-None-Match`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from service.api.call import Answer

_encode = msgspec.json.Encoder(order="deterministic").encode


def etag(content: object, *, weak: bool) -> bytes:
    """The tag of what an answer says. Weak where the whole body also holds what each call gets anew, as its own id."""
    raw = content if isinstance(content, bytes) else _encode(content)
    tag = b'"' + hashlib.sha256(raw).hexdigest()[:32].encode() + b'"'
    return b"W/" + tag if weak else tag


def is_known(tag: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the caller has what the tag stands for; compared weakly, as `If-None-Match` is."""
    given = headers.get(b"if-none-match")
    if given is None:
        return False
    bare = tag.removeprefix(b"W/")
    return any(each.strip() in {b"*", bare, b"W/" + bare} for each in given.split(b","))


def conditional(answer: Answer, tag: bytes, headers: Mapping[bytes, bytes]) -> Answer:
    """The answer with its tag, or 304 without a body where the caller has it."""
    if is_known(tag, headers):
        return Answer(b"", 304, headers=(*answer.headers, (b"etag", tag)))
    answer.headers = (*answer.headers, (b"etag", tag))
    return answer
