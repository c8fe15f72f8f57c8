"""All connections of a server: how many there may be, and how long each may take.

A client that sends nothing costs a connection. So each has a deadline for what it waits for, and
when there are too many, the one that has waited longest for its client makes room for a new one:
clients that send what they want at once are served however many do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from mmft_core.errors import ConfigError
from mmft_serve.logs import Access
from mmft_serve.metrics import Metrics
from mmft_serve.protocol import LINGER, Connection, Phase
from mmft_serve.refused import RefusedError
from mmft_serve.settings import ServeSettings

ACCEPTED_AT_ONCE = 32
"""Connections that asyncio accepts before the first of them is looked at."""
_RESERVED = 64
"""Files that are left for temporary folders, decoders, libraries and the index."""
_MOST = 4096
_WAITING = (Phase.NEW, Phase.HEADERS, Phase.IDLE)
_SWEEP = 0.25
"""Seconds between two looks at the deadlines."""


class Connections:
    """The open connections, by what they wait for, those first that have waited longest."""

    def __init__(self, settings: ServeSettings, metrics: Metrics, most: int) -> None:
        """Args:
        most: connections that are open at once.
        """
        self.settings, self.metrics, self.most = settings, metrics, most
        self.phases: dict[Phase, dict[Connection, None]] = {phase: {} for phase in Phase}
        self.deadlines = {
            Phase.NEW: settings.header_timeout,
            Phase.HEADERS: settings.header_timeout,
            Phase.BODY: settings.body_timeout,
            Phase.IDLE: settings.keep_alive,
            Phase.REFUSED: LINGER,
        }
        self.rate = settings.body_rate
        metrics.watch_connections(lambda: len(self))

    def __len__(self) -> int:
        return sum(map(len, self.phases.values()))

    def moved(self, connection: Connection, phase: Phase) -> None:
        """Note that a connection now waits for something else."""
        for connections in self.phases.values():
            connections.pop(connection, None)
        self.phases[phase][connection] = None

    def opened(self, connection: Connection) -> None:
        """Make room for a new connection, or refuse it."""
        if len(self) <= self.most:
            return
        oldest = self._oldest()
        if oldest is not None and oldest is not connection:
            self._end(oldest, self.full(), at_once=True)
        elif len(self) <= self.most + ACCEPTED_AT_ONCE:
            connection.refusing = True  # When it has said what it wants: sooner, it might not hear.
        else:
            connection.transport.abort()

    def closed(self, connection: Connection) -> None:
        for connections in self.phases.values():
            connections.pop(connection, None)

    def full(self) -> RefusedError:
        return RefusedError(503, "The server has too many connections.", {"Retry-After": "5"})

    def note(self, connection: Connection, status: int, request_id: str) -> None:
        """Note a request that never reached the application."""
        client = connection.client
        address = "-" if client is None else client[0]
        seconds = connection.loop.time() - connection.since
        nothing = Access(
            client=address,
            method="-",
            path="-",
            status=status,
            received=0,
            sent=0,
            ms=1000 * seconds,
            wait_ms=None,
            id=request_id,
        )
        self.metrics.note(nothing)

    async def watch(self) -> None:
        """Hold all connections to their deadlines, for ever."""
        while True:
            await asyncio.sleep(_SWEEP)
            now = asyncio.get_running_loop().time()
            for connection in list(self._late(now)):
                self._end(connection, self._too_late(connection.phase))
            for connection in list(self._stalled(now)):
                connection.transport.abort()

    def _late(self, now: float) -> Iterator[Connection]:
        for phase, seconds in self.deadlines.items():
            for connection in self.phases[phase]:
                waited = now - connection.since
                if waited < seconds:
                    break  # All others have waited less.
                # A body has more time the more of it has arrived.
                if phase is not Phase.BODY or waited >= seconds + connection.content / self.rate:
                    yield connection

    def _stalled(self, now: float) -> Iterator[Connection]:
        """Those whose clients do not take what is sent to them."""
        for connections in self.phases.values():
            for connection in connections:
                connection.note_progress(now)
                since = connection.stalled_since
                if since is not None and now - since >= self.settings.send_timeout:
                    yield connection

    def _too_late(self, phase: Phase) -> RefusedError:
        what = "body" if phase is Phase.BODY else "headers"
        sentence = f"The {what} did not arrive within {self.deadlines[phase]:g} s"
        if phase is Phase.BODY:
            sentence += f", and came at less than {self.rate:,} bytes per second"
        return RefusedError(408, f"{sentence}.")

    def _oldest(self) -> Connection | None:
        """The connection that has waited longest for its client; a started body is kept longer."""
        refused = next(iter(self.phases[Phase.REFUSED]), None)
        if refused is not None:
            return refused
        fronts = [c for p in _WAITING if (c := next(iter(self.phases[p]), None)) is not None]
        if fronts:
            return min(fronts, key=lambda connection: connection.since)
        return next(iter(self.phases[Phase.BODY]), None)

    def _end(self, connection: Connection, refusal: RefusedError, at_once: bool = False) -> None:
        self.closed(connection)
        if connection.refused or connection.transport.is_closing():
            connection.transport.abort()  # Its client does not take what was sent to it.
        elif connection.phase in (Phase.HEADERS, Phase.BODY):
            connection.refuse(refusal, at_once)  # Which counts it again while it lingers.
        else:
            connection.leave()  # It has asked for nothing, so nothing is answered.


def most_connections(wanted: int | None, workers: int) -> int:
    """How many connections the limit of open files allows, or as many as are wanted.

    Raises:
        ConfigError: it does not allow so many.
    """
    try:
        import resource
    except ImportError:  # Not on Windows, which has no such limit.
        return wanted or _MOST
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return wanted or _MOST
    allowed = limit - _open_files() - _RESERVED - 4 * workers - ACCEPTED_AT_ONCE
    if allowed < max(1, wanted or 1):
        raise ConfigError(
            f"The limit of {limit:,} open files leaves {max(0, allowed):,} for connections"
            + ("." if wanted is None else f"; --max-connections asks for {wanted:,}."),
            hint="Raise it, as with `ulimit -n 4096`, or LimitNOFILE= of systemd.",
        )
    return wanted or min(allowed, _MOST)


def _open_files() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(list(Path(folder).iterdir()))
        except OSError:
            continue
    return 64
