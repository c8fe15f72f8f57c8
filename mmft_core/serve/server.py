"""The server itself: a socket, uvicorn, and an end that loses nothing."""

from __future__ import annotations

import errno
import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mmft_core.errors import ConfigError

_HEADERS = 16 * 1024
"""Bytes of a request's headers; more is answered 400."""

_BACKLOG = 2048


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
            hint="Give --host an address of this machine, or 0.0.0.0 for all that it has."
            if elsewhere
            else "--port 0 takes a free one.",
        ) from None
    return listener


def run(app: FastAPI, listener: socket.socket, grace: float) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what is in hand and return.

    Args:
        grace: seconds that this may take.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=_HEADERS,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    server = uvicorn.Server(config)

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn has its own handlers while it runs. When it has ended it restores these and raises
    # the signal once more, by which the process would end with an error.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    server.run(sockets=[listener])
