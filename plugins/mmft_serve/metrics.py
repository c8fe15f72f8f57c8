"""What Prometheus is told, and the access log with it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mmft_serve.logs import Access, log_access

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self, paths: Collection[str] = ()) -> None:
        """Args:
        paths: that are told apart; all others, which anybody may make up, are one.
        """
        self.paths = paths
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mmft_requests", "Requests answered.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "mmft_request_seconds",
            "Seconds from a request's headers to the last byte of its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "mmft_batch_size",
            "Inputs in a batch of the model.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self.depth = Gauge(
            "mmft_queue_depth", "Requests in progress or waiting.", registry=self.registry
        )
        self.waiting = Gauge(
            "mmft_inputs_waiting",
            "Prepared inputs that wait for the model.",
            registry=self.registry,
        )
        self.connections = Gauge(
            "mmft_connections", "Open connections of clients.", registry=self.registry
        )

    def watch_queue(self, depth: Callable[[], int], waiting: Callable[[], int]) -> None:
        self.depth.set_function(depth)
        self.waiting.set_function(waiting)

    def watch_connections(self, number: Callable[[], int]) -> None:
        self.connections.set_function(number)

    def note(self, access: Access) -> None:
        """Count a request that has been answered, and log it."""
        path = access.path if access.path in self.paths else "other"
        self.requests.labels(path, access.status).inc()
        self.seconds.labels(path).observe(access.ms / 1000)
        log_access(access)

    def text(self) -> bytes:
        return generate_latest(self.registry)
