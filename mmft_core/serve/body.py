"""The bodies of requests in memory: how much all of them may hold together.

A body is read as a whole before a place in the queue is taken for it, so a slow client keeps no
other from the model. If all bodies together become too large, the largest of those that are still
arriving is dropped: a small request passes however many greedy clients there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from mmft_core.serve.refused import RefusedError

_FIRST_CHECK = 256 * 1024
"""Bytes after which a body that is still arriving is checked for the first time."""


class Body:
    """A request's body. Its bytes count until it is released."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies, self.content, self.dropped = bodies, bytearray(), False

    def add(self, chunk: bytes) -> None:
        if not self.dropped:
            self.content += chunk
            self._bodies.total += len(chunk)

    def release(self) -> None:
        """Forget the content."""
        self._bodies.total -= len(self.content)
        self.content = bytearray()


class Bodies:
    """All bodies of a server that are in memory."""

    def __init__(self, most: int) -> None:
        """Args:
        most: bytes of all together.
        """
        self.most, self.total = most, 0
        self._arriving: dict[Body, asyncio.Timeout] = {}

    async def read(
        self, request: Request, check: Callable[[bytearray], Awaitable[None]] | None = None
    ) -> Body:
        """Read the whole body of a request; `Body.release` has to be called in the end.

        Args:
            check: refuses a body by what has arrived of it. It is called whenever a large body has
                doubled, so a request that is too much is not read to its end.

        Raises:
            RefusedError: 503, bodies take too much memory and this is the largest; or as `check`.
        """
        body, next_check = Body(self), _FIRST_CHECK
        try:
            async with asyncio.timeout(None) as wait:
                self._arriving[body] = wait
                async for chunk in request.stream():
                    body.add(chunk)
                    self._make_room()
                    if check is not None and len(body.content) >= next_check:
                        next_check = 2 * len(body.content)
                        await check(body.content)
        except BaseException as error:
            body.release()
            if not (body.dropped and isinstance(error, TimeoutError)):
                raise
        finally:
            del self._arriving[body]
        if body.dropped:
            message = "The server has no memory left for a request as large as this one."
            raise RefusedError(503, message, {"Retry-After": "5"})
        return body

    def _make_room(self) -> None:
        while self.total > self.most:
            largest = max(self._arriving, key=lambda body: len(body.content))
            if not largest.content:
                break  # All others are complete, and are worked on.
            largest.dropped = True
            largest.release()
            self._arriving[largest].reschedule(0.0)  # In the past, so that its wait ends now.
