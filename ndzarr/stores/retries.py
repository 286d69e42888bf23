"""Which failures of a server pass, and how long to wait for that: one policy for every store that talks to one.

Those that pass (promise P9): 408, 429 and 5xx, a connection that is reset or closed, a time-out, a body that ends early. What
else a server says is so for good: 401, 403, 404, a name that does not resolve, a port where nobody listens. The clients raise
classes of their own for all this, often one inside another, so failures are told by status, errno and name, along the chain of
causes; no client is imported for it.
"""

from __future__ import annotations

import email.utils
import errno
import random
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ndzarr.errors import StoreError

#: How long one operation is tried, all in all.
LIMIT_S = 30.0
_FIRST_S = 0.1
_MOST_S = 5.0

_PASSING_STATUS = frozenset({408, 429, *range(500, 600)}) - {501, 505}  # the server will never do it
_PASSING_ERRNO = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT})
#: Names of classes, own or inherited, of asyncio, aiohttp, botocore, urllib3, the Azure SDK, fsspec.
_PASSING_NAMES = frozenset(
    "TimeoutError ServerTimeoutError ReadTimeoutError ConnectTimeoutError FSTimeoutError ServiceResponseError "
    "ServiceRequestTimeoutError ServerDisconnectedError ConnectionClosedError ConnectionResetError ConnectionAbortedError "
    "BrokenPipeError ClientPayloadError IncompleteReadError IncompleteRead ResponseStreamingError ProtocolError".split()
)
_ENDED_EARLY = frozenset({"ClientPayloadError", "ContentLengthError", "IncompleteReadError", "ShortBodyError"})
#: What obstore's errors say, their Rust source included; they have no fields.
_PASSING_TEXT = re.compile(
    r"ConnectionReset|ConnectionAborted|BrokenPipe|UnexpectedEof|IncompleteMessage|IncompleteBody|TimedOut|ChannelClosed|"
    r"timed out|connection closed|end of file before message|error decoding response body|error reading a body"
)
_STATUS_TEXT = re.compile(r"status code: (\d{3})")
_USER = re.compile(r"(://)[^/@\s]+@")
_QUERY = re.compile(r"\?[^\s<>\"'()]*[=][^\s<>\"'()]*")
#: Some servers answer with a page.
_LONGEST = 400
_TRIES_TEXT = re.compile(r"after (\d+) retries")
#: Another write of the same object was under way.
_CONFLICT = 409
_CONFLICT_TRIES = 5


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, and what it was raised from."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind `error`, None where there is none to see."""
    for cause in causes(error):
        told = getattr(cause, "response", None)
        if isinstance(told, Mapping):  # botocore
            status = told.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(status, int):
                return status
        for name in ("status", "status_code", "code"):  # aiohttp, Azure, gcsfs
            status = getattr(cause, name, None)
            if isinstance(status, int) and not isinstance(status, bool):
                if 100 <= status < 600:
                    return status
                break  # 0 of aiohttp, where it followed too many redirects; its `code` is deprecated
        if _of_obstore(cause) and (said := _STATUS_TEXT.search(str(cause))):
            return int(said.group(1))
    return None


def _of_obstore(error: BaseException) -> bool:
    # Not all of them are classes of its own; those that are not say the same.
    return type(error).__module__.partition(".")[0] == "obstore" or "Debug source" in str(error)


def passes(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    status = status_of(error)
    if status is not None:
        return status in _PASSING_STATUS or any(_ended_early(cause) for cause in causes(error))
    return any(
        _ended_early(cause)
        or any(cls.__name__ in _PASSING_NAMES for cls in type(cause).__mro__)
        or (isinstance(cause, OSError) and cause.errno in _PASSING_ERRNO)
        or (_of_obstore(cause) and _PASSING_TEXT.search(str(cause)) is not None)
        for cause in causes(error)
    )


def _ended_early(error: BaseException) -> bool:
    # Of a good status, and yet. Azure's client says so in words alone.
    return any(cls.__name__ in _ENDED_EARLY for cls in type(error).__mro__) or "payload is not completed" in str(error)


def was_not_done(error: BaseException) -> bool:
    """Whether the server said that it did not even begin: then a write that must not be done twice may be tried again."""
    return status_of(error) in (429, 503)


def _asked_to_wait_s(error: BaseException) -> float | None:
    """What Retry-After says, where the client shows it."""
    for cause in causes(error):
        told: Any = getattr(cause, "response", None)
        headers: Any = getattr(cause, "headers", None) or getattr(told, "headers", None)
        if isinstance(told, Mapping):
            headers = told.get("ResponseMetadata", {}).get("HTTPHeaders")
        if not headers or not hasattr(headers, "get"):
            continue
        value = headers.get("Retry-After") or headers.get("retry-after")
        if value is None:
            continue
        try:
            return max(0.0, float(value))
        except ValueError:
            pass
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (TypeError, ValueError):
            return None
    return None


def told(error: BaseException) -> str:
    """What `error` says, for a message: without credentials, neither a user's nor those of a signed URL, and not at length."""
    text = getattr(error, "strerror", None) or str(error)
    text = text.partition("\n\nDebug source")[0]
    text = _QUERY.sub("?...", _USER.sub(r"\1", text))
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text if len(text) <= _LONGEST else text[:_LONGEST] + ' ...'}"


class ShortBodyError(OSError):
    """A body that ended before the bytes that it should have had."""


class Tries:
    """The tries of one operation, counted and timed. Not for several threads."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.count = 1
        self._limit_s = limit_s
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def left_s(self) -> float:
        return max(0.0, self._limit_s - self.elapsed_s)

    def pause_s(self, error: BaseException, *, idempotent: bool = True) -> float | None:
        """How long to wait before the next try; None where `error` is for good, or time is up.

        idempotent: doing it twice does no harm. Otherwise it is tried again only if it surely was not done.
        """
        conflict = idempotent and self.count < _CONFLICT_TRIES and status_of(error) == _CONFLICT
        if not (conflict or (passes(error) if idempotent else was_not_done(error))):
            return None
        pause = min(_MOST_S, _FIRST_S * 2.0 ** (self.count - 1)) * random.uniform(0.5, 1.0)
        asked = _asked_to_wait_s(error)
        if asked is not None:
            pause = max(pause, asked)
        if pause >= self.left_s:
            return None
        self.count += 1
        return pause

    def counted(self, error: StoreError) -> StoreError:
        """`error`, saying how often it was tried; as its attribute `tries` too."""
        cause = error.__cause__
        inner = _TRIES_TEXT.search(str(cause)) if cause is not None else None
        tries = self.count + (int(inner.group(1)) if inner else 0)
        if tries > 1:
            error.message += f"; tried {tries} times in {self.elapsed_s:.1f} s"
        error.tries = tries
        return error
