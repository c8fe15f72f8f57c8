"""A balancer on the side of the client: it asks servers for readiness, and loses no request."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence


class Balancer:
    """Sends requests to the servers that are ready, in turn, over connections that it keeps.

    A request is never repeated, so each that is not answered is lost. A server is left alone from
    the first 503 of its `/ready` on.
    """

    def __init__(self, servers: Sequence[tuple[str, int]], every: float = 0.05) -> None:
        """Args:
        every: seconds between two looks at the readiness of a server.
        """
        self.servers, self.every = servers, every
        self.ready = [False] * len(servers)
        self.answers: Counter[str] = Counter()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(k,)) for k in range(2)]

    def __enter__(self) -> Balancer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def wait_until(self, number: int, ready: bool) -> None:
        while self.ready[number] is not ready:
            time.sleep(0.01)

    def _watch(self, number: int) -> None:
        while not self._ending.is_set():
            host, port = self.servers[number]
            connection = http.client.HTTPConnection(host, port, timeout=10)
            try:
                connection.request("GET", "/ready")
                self.ready[number] = connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                self.ready[number] = False
            connection.close()
            self._ending.wait(self.every)

    def client(self, body: bytes, goes_on: Callable[[], bool], pause: float = 0.0) -> None:
        """Ask again and again, and count what is answered; for a thread of its own."""
        connections: dict[int, http.client.HTTPConnection] = {}
        turn = 0
        while goes_on():
            for gone in [number for number in connections if not self.ready[number]]:
                connections.pop(gone).close()
            ready = [number for number, is_ready in enumerate(self.ready) if is_ready]
            if not ready:
                time.sleep(0.01)
                continue
            turn += 1
            number = ready[turn % len(ready)]
            if number not in connections:
                connections[number] = http.client.HTTPConnection(*self.servers[number], timeout=60)
            self.answers[self._ask(connections[number], body)] += 1
            time.sleep(pause)
        for connection in connections.values():
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, body: bytes) -> str:
        try:
            kind = {"Content-Type": "application/json"}
            connection.request("POST", "/predict", body, kind)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__
        return str(answer.status)
