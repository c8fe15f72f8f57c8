"""What a server writes to standard error: warnings that cannot flood, and a line for each request.

Every line has its time and, where it belongs to a request, the request's id. Nothing that a client
sends can begin a new line, or reach a terminal as anything but text.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

from mmft_core.utils import escape, shortened

LogFormat: TypeAlias = Literal["plain", "json"]
request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Of the request that is being worked on."""

_access = logging.getLogger("mmft.access")
_SECONDS, _MOST = 60.0, 5
"""So many lines of a kind are written in so many seconds."""
_KINDS = 200
"""Kinds that are told apart, for messages may be of any number."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """What is noted of a request.

    Attributes:
        path: as it was sent, without the query.
        received: bytes of the request's body.
        sent: bytes of the answer's body.
        ms: from the request's headers to its answer's last byte.
        wait_ms: in the queue for the model; None where it was not asked.
    """

    client: str
    method: str
    path: str
    status: int
    received: int
    sent: int
    ms: float
    wait_ms: float | None
    id: str


def log_access(access: Access) -> None:
    """Write a line of the access log, if there is one."""
    wait = "-" if access.wait_ms is None else f"{access.wait_ms:.1f}"
    client, method, path = map(_word, (access.client, access.method, access.path))
    _access.info(
        "%s %s %s %d received=%d sent=%d ms=%.1f wait_ms=%s id=%s",
        client,
        method,
        path,
        access.status,
        access.received,
        access.sent,
        access.ms,
        wait,
        access.id,
        extra={"access": replace(access, client=client, method=method, path=path)},
    )


def configure_logs(access_log: bool, form: LogFormat) -> None:
    """Send all logs of this process to standard error.

    Args:
        access_log: whether each request is written.
    """
    _access.propagate = False
    _access.setLevel(logging.INFO if access_log else logging.CRITICAL)
    formatter = _Json() if form == "json" else _Plain()
    for logger, throttled in ((_access, False), (logging.getLogger(), True)):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(formatter)
        if throttled:
            handler.addFilter(Throttle())
        logger.handlers[:] = [handler]


class Throttle(logging.Filter):
    """Lets a few lines of a kind pass, then counts them and says how many there were."""

    def __init__(self, most: int = _MOST, seconds: float = _SECONDS) -> None:
        super().__init__()
        self.most, self.seconds = most, seconds
        self._seen: dict[object, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        kind: object = (record.name, record.levelno, str(record.msg)[:200], _origin(record))
        if kind not in self._seen and len(self._seen) >= _KINDS:
            self._seen = {k: s for k, s in self._seen.items() if now - s[0] < self.seconds}
            kind = kind if len(self._seen) < _KINDS else "others"
        began, count = self._seen.get(kind, (now, 0))
        if now - began >= self.seconds:
            if count > self.most:
                note = f" ({count - self.most:,} more like this since the last one)"
                record.msg, record.args = f"{record.getMessage()}{note}", None
            began, count = now, 0
        self._seen[kind] = (began, count + 1)
        if count + 1 == self.most:
            note = f" (more like this within {self.seconds:g} s are counted, not written)"
            record.msg, record.args = f"{record.getMessage()}{note}", None
        return count < self.most


def _origin(record: logging.LogRecord) -> tuple[object, ...]:
    """What kind of error a record tells of, and where it was raised; empty without one."""
    if not record.exc_info:
        return ()
    kind, _, trace = record.exc_info
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = () if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return (kind, *place)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = escape(record.getMessage())
        if isinstance(getattr(record, "access", None), Access):
            return f"{_time(record)} {message}"
        head = f"{_time(record)} {record.levelname} {message} id={request_id.get()}"
        return head if record.exc_info is None else f"{head}\n{self._traceback(record)}"

    def _traceback(self, record: logging.LogRecord) -> str:
        assert record.exc_info is not None
        lines = self.formatException(record.exc_info).split("\n")
        return "\n".join(f"    {escape(line)}" for line in lines)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        head: dict[str, object] = {"time": _time(record), "level": record.levelname.lower()}
        access = getattr(record, "access", None)
        if isinstance(access, Access):
            return json.dumps(head | {"event": "access"} | asdict(access))
        more: dict[str, object] = {"message": record.getMessage(), "id": request_id.get()}
        if record.exc_info is not None:
            more["traceback"] = self.formatException(record.exc_info)
        return json.dumps(head | {"event": record.name} | more)


def _time(record: logging.LogRecord) -> str:
    """ISO 8601 with the zone."""
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def _word(text: str) -> str:
    """One word, whatever somebody sent."""
    return "".join(c if "!" <= c <= "~" else f"%{ord(c):02x}" for c in shortened(text, 200)) or "-"
