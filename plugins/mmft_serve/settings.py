"""What a server allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EXTENTS = {"pixels": 50e6, "seconds": 600.0, "characters": 100_000.0}
"""How much an input may hold, in the units that processors count in (`Processor.extent`)."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """The settings of a server.

    Attributes:
        max_batch: inputs that the model is given at once, at most.
        queue: requests that are being worked on or wait; more are turned away.
        timeout: seconds to answer a request that has arrived.
        max_bytes: of a request's body.
        extents: how much an input may hold, by unit.
        top_k: alternatives, and neighbours, in an answer.
        api_key: what requests have to show; None for nothing.
        workers: threads that prepare inputs.
        header_timeout: seconds for the headers of a request to arrive.
        body_timeout: seconds for the body of a request to arrive, whatever its rate.
        body_rate: bytes per second at which a body must arrive that takes longer.
        send_timeout: seconds that a client may go without taking any of its answer.
        keep_alive: seconds that an idle connection stays open.
        max_connections: open connections; None for what the limit of open files allows.
        max_buffered: bytes of all bodies that are held in memory.
        max_json_depth: levels of arrays and objects.
        max_json_items: values of arrays and objects, over all levels.
        drain_delay: seconds after SIGTERM in which new connections are still taken.
        shutdown_timeout: seconds that requests in hand may take once no new ones are taken.
    """

    max_batch: int = 16
    queue: int = 128
    timeout: float = 30.0
    max_bytes: int = 32 * 1024 * 1024
    extents: Mapping[str, float] = field(default_factory=lambda: dict(EXTENTS))
    top_k: int = 5
    api_key: str | None = None
    workers: int = 2
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    body_rate: int = 16 * 1024
    send_timeout: float = 30.0
    keep_alive: float = 75.0
    max_connections: int | None = None
    max_buffered: int = 256 * 1024 * 1024
    max_json_depth: int = 32
    max_json_items: int = 100_000
    drain_delay: float = 5.0
    shutdown_timeout: float = 30.0
