"""Restarts that no client notices."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
from pathlib import Path

import httpx

from mmft_core import discover
from mmft_core.config.engine_config import EngineConfig
from mmft_core.inference import opening
from mmft_core.inference.predictor import Predictor
from mmft_serve.app import create_app
from mmft_serve.server import Server, listen
from mmft_serve.settings import ServeSettings
from tests.serve.balancer import Balancer
from tests.serve.test_command import forked
from tests.serve.tools import Held, digit, serving

QUESTION = b'{"text": "hello"}'
JSON = {"Content-Type": "application/json"}


def test_a_server_that_drains(topics: Path) -> None:
    """From SIGTERM on it is not ready, but it answers, and says that connections end."""
    with forked(topics, "--drain-delay", "60") as (process, address):
        host, port = address.removeprefix("http://").split(":")
        kept = http.client.HTTPConnection(host, int(port), timeout=60)
        kept.request("GET", "/ready")
        answer = kept.getresponse()
        assert (answer.status, answer.getheader("connection")) == (200, None)
        answer.read()
        process.send_signal(signal.SIGTERM)
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            while (ready := client.get("/ready")).status_code == 200:
                pass
            assert ready.json() == {"error": "The server is shutting down."}
            assert ready.headers["connection"] == "close"
            alive = client.get("/health")
            assert (alive.status_code, alive.headers["connection"]) == (200, "close")
        kept.request("POST", "/predict", QUESTION, JSON)
        answer = kept.getresponse()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        process.send_signal(signal.SIGTERM)  # The second ends the delay.
        assert process.wait(30) == 0
        assert process.told == ""


def test_requests_that_take_longer_than_the_server_waits(digits: Path) -> None:
    held = Held()
    with serving(digits, held.around, shutdown_timeout=0.5) as served:
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(served.predict(image=("a.png", digit(0))))
        )
        asking.start()
        assert held.began.wait(60)
        served.server.should_exit = True
        asking.join(30)
        held.may.set()
    assert answers[0].status_code == 503
    assert answers[0].json() == {"error": "The server is shutting down."}


def test_two_servers_that_are_restarted_in_turn(topics: Path) -> None:
    """Neither a connection that is kept nor a new one is lost."""
    predictor = Predictor(opening.load(topics, discover()), EngineConfig())
    allowed = ServeSettings(drain_delay=0.6)

    class Running:
        def __init__(self, port: int) -> None:
            listener = listen("127.0.0.1", port)
            self.address = listener.getsockname()[:2]
            self.server = Server(create_app("run", predictor, allowed), allowed)
            run = self.server.run
            self.thread = threading.Thread(target=run, kwargs={"sockets": [listener]})
            self.thread.start()

        def end(self) -> None:
            self.server.should_exit = True
            self.thread.join()

    servers = [Running(0), Running(0)]
    ending = threading.Event()
    with Balancer([server.address for server in servers]) as balancer:
        arguments = (QUESTION, lambda: not ending.is_set(), 0.01)
        clients = [threading.Thread(target=balancer.client, args=arguments) for _ in range(3)]
        for thread in clients:
            thread.start()
        for restart in range(4):
            number = restart % 2
            balancer.wait_until(1 - number, True)
            balancer.wait_until(number, True)
            servers[number].end()
            servers[number] = Running(servers[number].address[1])
        balancer.wait_until(1, True)
        ending.set()
        for thread in clients:
            thread.join()
    for server in servers:
        server.end()
    assert set(balancer.answers) == {"200"}, balancer.answers
    assert balancer.answers["200"] > 20


def test_a_request_that_is_on_its_way_when_the_server_ends(topics: Path) -> None:
    """A connection without a request gets a moment to ask, and is answered."""
    with serving(topics) as served:
        host, port = served.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            while served.figure("mmft_connections") < 2:
                pass
            served.server.should_exit = True
            while served.server.servers[0].is_serving():
                pass
            head = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
            connection.sendall(head)
            answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nconnection: close\r\n" in answer
