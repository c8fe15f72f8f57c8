"""The outermost layer of the application: what holds for every request and its answer."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmft_core.utils import out_of_memory
from mmft_serve.logs import Access, request_id
from mmft_serve.metrics import Metrics
from mmft_serve.protocol import LINGER
from mmft_serve.refused import RefusedError

_log = logging.getLogger(__name__)
_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")


class Exchanges:
    """Gives each request an id, takes its time, and notes it when it has been answered."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        token = request_id.set(exchange.id)
        try:
            await self._answer(exchange)
        finally:
            self.metrics.note(exchange.access())
            request_id.reset(token)

    async def _answer(self, exchange: _Exchange) -> None:
        headers, scope = exchange.headers, exchange.scope
        if "content-length" in headers and "transfer-encoding" in headers:
            # A proxy in front may have taken the other one for the body's end.
            refusal = RefusedError(400, "Send Content-Length or Transfer-Encoding, not both.")
            exchange.closing = True
            await refusal.response(scope["path"])(scope, exchange.receive, exchange.send)
            return
        try:
            # HEAD is answered as GET; uvicorn leaves the body out.
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            await self.app({**scope, "method": method}, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not scope["app"].state.draining or exchange.status is not None:
                raise
            refusal = RefusedError(503, "The server is shutting down.", {"Retry-After": "5"})
            await refusal.response(scope["path"])(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.status is not None:
                raise
            response = _failure(error).response(scope["path"])
            await response(scope, exchange.receive, exchange.send)


def _failure(error: Exception) -> RefusedError:
    """What is answered when nothing more can be said of an error."""
    if out_of_memory(error):
        _log.warning("Memory ran out for a request.")
        return RefusedError(503, "The server ran out of memory.", {"Retry-After": "5"})
    _log.error("A request failed.", exc_info=error)
    return RefusedError(500, "The server failed on this request; its log says why.")


@dataclass
class _Exchange:
    """A request and its answer."""

    scope: Scope
    wrapped_receive: Receive
    wrapped_send: Send
    status: int | None = None
    received: int = 0
    sent: int = 0
    closing: bool = False
    """Whether the connection ends with this answer, at once."""
    _complete: bool = False
    """Whether the whole request has been read."""
    _asked: bool = False
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.headers = Headers(scope=self.scope)
        given = self.headers.getlist("x-request-id")
        fits = len(given) == 1 and _ID.fullmatch(given[0])
        self.id = given[0] if fits else uuid.uuid4().hex
        self.scope["state"]["id"] = self.id  # For an answer that the connection gives.

    async def receive(self) -> Message:
        self._asked = True
        message = await self.wrapped_receive()
        self.received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            if self._lingers() or self.closing or self.scope["app"].state.draining:
                headers["Connection"] = "close"
        if message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
            if self._lingers() and not message.get("more_body", False):
                await self.wrapped_send({**message, "more_body": True})
                await self._read_the_rest()
                message = {"type": "http.response.body", "body": b""}
        await self.wrapped_send(message)

    def _lingers(self) -> bool:
        """Whether the client is still sending a body."""
        has_body = self.headers.get("content-length", "0") != "0"
        has_body = has_body or "transfer-encoding" in self.headers
        waits = self.headers.get("expect", "").lower() == "100-continue" and not self._asked
        return has_body and not (self._complete or waits or self.closing)

    async def _read_the_rest(self) -> None:
        try:
            async with asyncio.timeout(LINGER):
                while not self._complete:
                    await self.receive()
        except TimeoutError:
            pass

    def access(self) -> Access:
        state: dict[str, Any] = self.scope["state"]
        waited = state.get("waited")
        client = self.scope.get("client")
        return Access(
            client="-" if client is None else str(client[0]),
            method=self.scope["method"],
            path=self.scope.get("raw_path", b"").decode("latin-1"),
            # A connection may be closed, with an answer of its own, while a request is read.
            status=state.get("refused") or self.status or 500,
            received=self.received,
            sent=self.sent,
            ms=1000 * (time.perf_counter() - self.began),
            wait_ms=None if waited is None else 1000 * waited,
            id=self.id,
        )
