"""What every request passes before it is looked into."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmft_serve.refused import RefusedError


class KeyGate:
    """Lets requests pass that show the key; open paths need none."""

    def __init__(self, app: ASGIApp, key: str | None, open_paths: Collection[str]) -> None:
        self.app, self.open_paths = app, open_paths
        self.key = None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._passes(scope):
            message = "Give the key of this server as the header 'Authorization: Bearer KEY'."
            refusal = RefusedError(401, message, {"WWW-Authenticate": "Bearer"})
            await refusal.response(scope["path"])(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _passes(self, scope: Scope) -> bool:
        if self.key is None or scope["path"] in self.open_paths:
            return True
        scheme, _, shown = Headers(scope=scope).get("authorization", "").partition(" ")
        # In a time that tells nothing of how much of it is right.
        same = hmac.compare_digest(shown.strip().encode("latin-1"), self.key)
        return scheme.lower() == "bearer" and same


class SizeGate:
    """Stops reading a request that is larger than is allowed."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "0")
        if told.isdecimal() and int(told[:20]) > self.most:
            await self._refusal().response(scope["path"])(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:  # It told less, or nothing.
                raise self._refusal()
            return message

        await self.app(scope, counted, send)

    def _refusal(self) -> RefusedError:
        return RefusedError(
            413, f"The request is larger than {self.most:,} bytes.", {"Connection": "close"}
        )


class Admission:
    """Counts the requests that are worked on or wait, and turns away what is too many.

    Called in the event loop's thread alone, so it needs no lock.
    """

    def __init__(self, most: int, open_: Callable[[], bool]) -> None:
        self.most, self.depth, self._open = most, 0, open_

    def check_open(self) -> None:
        """Raises:
        RefusedError: the server is ending.
        """
        if not self._open():
            raise RefusedError(503, "The server is shutting down.", {"Retry-After": "5"})

    def check_room(self) -> None:
        """Raises:
        RefusedError: there is no room, or the server is ending.
        """
        self.check_open()
        if self.depth >= self.most:
            message = f"{self.depth:,} requests are being worked on already; try again later."
            raise RefusedError(429, message, {"Retry-After": "1"})

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Raises:
        RefusedError: there is no room, or the server is ending.
        """
        self.check_room()
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
