"""The server itself: a socket, uvicorn, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import errno
import math
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mmft_core.errors import ConfigError
from mmft_serve.connections import ACCEPTED_AT_ONCE, Connections, most_connections
from mmft_serve.protocol import MAX_HEADERS, Connection
from mmft_serve.settings import ServeSettings

_BACKLOG = 2048
"""Clients that may wait to be accepted."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TURN = 0.001
"""Seconds that a thread keeps the interpreter while others wait for it."""


def listen(host: str, port: int) -> socket.socket:
    """Open a socket to listen on; port 0 takes a free one.

    Raises:
        ConfigError: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # Who comes before uvicorn has started waits.
    except OSError as error:
        elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise ConfigError(
            f"The server cannot listen at {host}, port {port}: {(error.strerror or '').lower()}.",
            hint="Give --host an address of this machine, or 0.0.0.0 for all of them."
            if elsewhere
            else "--port 0 picks a free one.",
        ) from None
    return listener


class Server(uvicorn.Server):
    """uvicorn's server, which watches over its connections, and ends so that nothing is lost."""

    def __init__(self, app: FastAPI, settings: ServeSettings) -> None:
        """Args:
        app: of `create_app`.

        Raises:
            ConfigError: the limit of open files is too small.
        """
        most = most_connections(settings.max_connections, settings.workers)
        self.app, self.settings = app, settings
        self.connections = Connections(settings, app.state.metrics, most)
        self._signals: list[int] = []
        config = uvicorn.Config(
            app,
            http=partial(Connection, watch=self.connections),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=ACCEPTED_AT_ONCE,
            h11_max_incomplete_event_size=MAX_HEADERS,
            # `Connections` closes idle ones before.
            timeout_keep_alive=math.ceil(settings.keep_alive) + 60,
            timeout_graceful_shutdown=max(1, math.ceil(settings.shutdown_timeout)),
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # asyncio has told the system to hold as few waiting clients as it accepts at once.
        for listener in sockets or ():
            listener.listen(_BACKLOG)
        self._watching = asyncio.create_task(self.connections.watch())

    async def main_loop(self) -> None:
        """Serve until a signal comes, then for a while as one that is about to end.

        Meanwhile `/ready` says so, and every answer ends its connection. A balancer that asks, and
        clients that hold connections, go elsewhere before there is nobody to answer them.
        """
        await super().main_loop()
        self.app.state.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.drain_delay
        while loop.time() < until and not self._in_haste():
            await asyncio.sleep(0.05)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._watching.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals.append(sig)
        super().handle_exit(sig, frame)

    @contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the server, also before it runs.

        uvicorn has its own handlers while it runs. When it has ended it restores these and raises
        the signal once more, by which the process would otherwise end with an error.
        """
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _in_haste(self) -> bool:
        """Whether it was Ctrl-C, or a second signal."""
        return signal.SIGINT in self._signals or len(self._signals) > 1


def run(server: Server, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain, answer what is in hand, and return."""
    # Threads that parse, prepare and compute take turns with the event loop: short ones, so that it
    # answers soon.
    sys.setswitchinterval(_TURN)
    server.run(sockets=[listener])
