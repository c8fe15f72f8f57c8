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
        timeout: seconds from a request to its answer.
        max_bytes: of a request.
        extents: how much an input may hold, by unit.
        top_k: alternatives, and neighbours, in an answer.
        api_key: what requests have to show; None for nothing.
        workers: threads that prepare inputs.
    """

    max_batch: int = 16
    queue: int = 128
    timeout: float = 30.0
    max_bytes: int = 32 * 1024 * 1024
    extents: Mapping[str, float] = field(default_factory=lambda: dict(EXTENTS))
    top_k: int = 5
    api_key: str | None = None
    workers: int = 2
