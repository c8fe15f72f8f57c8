"""Slow and greedy clients: each is sent away in time, and no other waits for it."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from mmft_serve.body import Bodies
from mmft_serve.connections import Connections
from mmft_serve.json_limits import check_json
from mmft_serve.metrics import Metrics
from mmft_serve.protocol import Connection
from mmft_serve.refused import RefusedError
from mmft_serve.settings import ServeSettings
from tests.serve.test_command import Mmft, forked
from tests.serve.tools import Held, Served, digit, serving

HEADERS = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
UNFINISHED = HEADERS + b"X-Slow: 1\r\n"
TRICKLED = HEADERS + b'Content-Length: 1000\r\n\r\n{"text": "'
GREETING = HEADERS + b"Content-Length: 17\r\n\r\n" + b'{"text": "hello"}'


def connect(served: Served, sent: bytes = b"") -> socket.socket:
    host, port = served.address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(sent)
    return connection


def rest(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    answer = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            answer += part
    return answer


def sentence(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])


def until(served: Served, name: str, value: float) -> None:
    while served.figure(name) != value:
        time.sleep(0.02)


def test_clients_that_do_not_go_on(topics: Path) -> None:
    with serving(topics, header_timeout=0.4, body_timeout=0.4, queue=1) as served:
        silent, unfinished, trickled = (connect(served, b) for b in (b"", UNFINISHED, TRICKLED))
        assert served.client.post("/predict", json={"text": "hello"}).status_code == 200
        assert rest(silent) == b"", "it has asked for nothing"
        headers, body = rest(unfinished), rest(trickled)
        until(served, "mmft_connections", 1)
    assert headers.startswith(b"HTTP/1.1 408 ") and body.startswith(b"HTTP/1.1 408 ")
    assert sentence(headers) == "The headers did not arrive within 0.4 s."
    wanted = "The body did not arrive within 0.4 s, and came at less than 16,384 bytes per second."
    assert sentence(body) == wanted
    assert b"\r\nx-request-id: " in headers and b"\r\nx-request-id: " in body


@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_but_steady_upload(topics: Path, chunked: bool) -> None:
    """It is read as long as it keeps up with the minimum rate, however long that takes."""
    part, parts = b" " * 2000, 8
    length = (
        b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (17 + 2000 * parts)
    )
    end = b"11\r\n%b\r\n0\r\n\r\n" if chunked else b"%b"
    with serving(topics, body_timeout=0.4, body_rate=500) as served:
        connection = connect(served, HEADERS + b"Connection: close\r\n" + length + b"\r\n\r\n")
        for _ in range(parts):
            connection.sendall(b"7d0\r\n%b\r\n" % part if chunked else part)
            time.sleep(0.15)
        connection.sendall(end % b'{"text": "hello"}')
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def test_who_is_refused_while_sending_can_read_the_answer(topics: Path) -> None:
    with serving(topics, body_timeout=0.4) as served:
        connection = connect(served, TRICKLED)
        select.select([connection], [], [], 30)
        for _ in range(5):  # A connection that is closed already would be reset.
            connection.sendall(b"a" * 100)
            time.sleep(0.05)
        assert rest(connection).startswith(b"HTTP/1.1 408 ")
        until(served, "mmft_connections", 1)  # It is closed, although the client is still there.
        assert connection.fileno() > 0


class Transport(asyncio.Transport):
    """The way to a client that takes some bytes each time somebody looks."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self.taken, self.left, self.aborted = taken, 10**6, False

    def get_write_buffer_size(self) -> int:
        self.left -= self.taken
        return self.left

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.aborted = True


def test_a_client_that_reads_slowly() -> None:
    """Who takes some of an answer now and then is not cut off; who takes nothing is."""

    settings = ServeSettings(send_timeout=0.4)

    async def watch() -> list[bool]:
        connections = Connections(settings, Metrics(), 10)
        config = uvicorn.Config(FastAPI(), log_config=None)
        transports = Transport(taken=1), Transport(taken=0)
        for transport in transports:
            connection = Connection(config, ServerState(), {}, watch=connections)
            connection.connection_made(transport)
            connection.pause_writing()
        with suppress(TimeoutError):
            await asyncio.wait_for(connections.watch(), 1.2)
        return [transport.aborted for transport in transports]

    assert asyncio.run(watch()) == [False, True]


def test_the_second_request_of_a_connection_has_a_deadline(topics: Path) -> None:
    with serving(topics, header_timeout=0.4, keep_alive=30.0) as served:
        connection = connect(served, GREETING + UNFINISHED)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 408 " in answer


def test_an_idle_connection_is_closed(topics: Path) -> None:
    with serving(topics, keep_alive=0.3) as served:
        assert rest(connect(served, GREETING)).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read(topics: Path) -> None:
    with serving(topics, send_timeout=0.4, keep_alive=0.4) as served:
        connection = connect(served)
        connection.settimeout(0.5)
        with suppress(OSError):  # In the end the server does not read either.
            for _ in range(2000):
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        until(served, "mmft_connections", 1)
        connection.close()


def test_bodies_that_nobody_reads(topics: Path) -> None:
    """They are neither waited for without end nor the next request."""
    with serving(topics, body_timeout=0.4) as served:
        for path in (b"/health", b"/nothing"):
            half = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nGET /"
            answer = rest(connect(served, half))
            assert b"\r\nconnection: close\r\n" in answer and answer.count(b"HTTP/1.1") == 1
        until(served, "mmft_connections", 1)


def test_the_oldest_slow_clients_make_room(topics: Path) -> None:
    with serving(topics, max_connections=6) as served, ExitStack() as closing:
        slow = [closing.enter_context(connect(served, UNFINISHED)) for _ in range(5)]
        until(served, "mmft_connections", 6)
        more = [closing.enter_context(connect(served, TRICKLED)) for _ in range(5)]
        assert served.client.get("/health").status_code == 200
        with httpx.Client(base_url=served.address, trust_env=False) as another:
            assert another.post("/predict", json={"text": "hello"}).status_code == 200
        answers = [rest(connection) for connection in slow]
        assert more[-1].fileno() > 0
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert sentence(answers[0]) == "The server has too many connections."


def test_a_server_that_works_for_all_it_has_room_for(digits: Path) -> None:
    held = Held()
    with (
        serving(digits, held.around, max_connections=2) as served,
        ThreadPoolExecutor(2) as clients,
    ):
        working = [clients.submit(served.predict, image=digit(k)) for k in range(2)]
        assert held.began.wait(60)
        with httpx.Client(base_url=served.address, trust_env=False) as another:
            while (refused := another.get("/health")).status_code == 200:
                pass  # The second of them may still be on its way.
        held.may.set()
        assert {future.result(60).status_code for future in working} <= {200, 503}
        assert working[0].result().status_code == 200 or working[1].result().status_code == 200
        assert served.client.get("/health").status_code == 200
    assert refused.status_code == 503
    assert refused.json() == {"error": "The server has too many connections."}


def test_bodies_are_dropped_when_they_are_too_large_together(topics: Path) -> None:
    with serving(topics, max_bytes=400_000, max_buffered=500_000) as served:
        start = HEADERS + b'Content-Length: 390000\r\n\r\n{"text": "'
        large = [connect(served, start + b"a" * size) for size in (200_000, 250_000)]
        time.sleep(0.2)
        with connect(served, start + b"a" * 100_000):
            dropped = rest(large[1])
            assert served.client.post("/predict", json={"text": "hello"}).status_code == 200
        large[0].close()
    assert dropped.startswith(b"HTTP/1.1 503 "), dropped
    assert "no memory left for a request as large" in sentence(dropped)
    assert Bodies(1).total == 0


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"tabular": {"ink": [0] * 100}}, 413, "holds more than 50 values"),
        ({"tabular": {str(k): 1 for k in range(60)}}, 413, "holds more than 50 values"),
        ({"tabular": {"ink": [[[[1]]]]}}, 422, "nested too deeply: at most 4 levels"),
        ({"tabular": {"ink": 1.5}, "text": '[{,"' * 100 + "\\"}, 200, ""),
    ],
)
def test_json_of_many_values(mixed: Path, body: dict, status: int, words: str) -> None:
    with serving(mixed, max_json_items=50, max_json_depth=4) as served:
        answer = served.client.post("/predict", json=body)
    assert answer.status_code == status and words in answer.text, answer.text


def test_json_of_many_values_is_refused_while_it_arrives(mixed: Path) -> None:
    announced = HEADERS + b"Content-Length: 10000000\r\n\r\n"
    with serving(mixed, max_json_items=50_000) as served:
        with connect(served, announced + b'{"tabular": [' + b"0," * 150_000) as client:
            many = rest(client)
        with connect(served, announced + b'{"tabular": "' + b"0," * 150_000) as client:
            client.settimeout(1.0)
            with pytest.raises(TimeoutError):  # One long string: the server waits for its end.
                client.recv(65_536)
    assert many.startswith(b"HTTP/1.1 413 ") and b"more than 50,000 values" in many


def test_json_in_another_encoding(mixed: Path) -> None:
    """It is not read: half of the letter is a quotation mark, behind which nothing is counted."""
    text = json.dumps({"\u0122": None, "tabular": [0] * 10_000}, ensure_ascii=False)
    with serving(mixed, max_json_items=50) as served:
        headers = {"content-type": "application/json"}
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"):
            answer = served.client.post("/predict", content=text.encode(encoding), headers=headers)
            assert answer.status_code in (400, 413), (encoding, answer.text)
        good = json.dumps({"text": "\u0122"}, ensure_ascii=False).encode("utf-8-sig")
        assert served.client.post("/predict", content=good, headers=headers).status_code == 200


def test_rows_in_a_form_or_a_string(mixed: Path) -> None:
    many, deep = json.dumps({"ink": [0] * 100}), json.dumps({"ink": [[[[1]]]]})
    with serving(mixed, max_json_items=50, max_json_depth=4) as served:
        for text, status in ((many, 413), (deep, 422), ('{"ink": 1.5}', 200)):
            form = served.client.post("/predict", data={"tabular": text})
            file = served.client.post("/predict", files={"tabular": ("row", text)})
            string = served.client.post("/predict", json={"tabular": text})
            codes = {answer.status_code for answer in (form, file, string)}
            assert codes == {status}, (text, form.text, file.text, string.text)
            assert status != 422 or "nested too deeply" in form.text


def test_measuring_json() -> None:
    for good in (b"", b'"a', b'"a\\', b"]]]]", b"[1, 2] [[[[[[", b'{"a": "' + b'\\"[' * 90_000):
        check_json(good, 2, 3)
    for bad in (b"[[[", b"[1, 2, 3]", b'{"' + b"\\\\" * 90_000 + b'": [1, 2, 3]}'):
        with pytest.raises(RefusedError):
            check_json(bad, 2, 3)


SHAPES = {
    "both lengths": (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    "two lengths": (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
    "another encoding": (b"Transfer-Encoding: gzip, chunked\r\n\r\n", b"400"),
    "tiny chunks": (b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 70_000, b"400"),
    "long extensions": (
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"1;" + b"x" * 1000 + b"\r\n \r\n") * 300,
        b"400",
    ),
    "small chunks": (
        b"Transfer-Encoding: chunked\r\n\r\n"
        + b"11\r\n"
        + b'{"text": "hello"}'
        + b"\r\n"
        + b"10\r\n                \r\n" * 5_000
        + b"0\r\n\r\n",
        b"200",
    ),
    "chunks of a generator": (
        b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"1\r\n%c\r\n" % c for c in b'{"text": "hello"}' + b" " * 10_000)
        + b"0\r\n\r\n",
        b"200",
    ),
    "no chunks": (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    "chunks without end": (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", b"408"),
    "many headers": (b"".join(b"X-%d: y\r\n" % k for k in range(5000)) + b"\r\n", b"400"),
    "a long header": (b"X: " + b"y" * 200_000 + b"\r\n\r\n", b"400"),
    "a wait": (b"Expect: 100-continue\r\nContent-Length: 17\r\n\r\n", b"100"),
    "an upgrade": (b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"400"),
}


@pytest.fixture(scope="module")
def quick(topics: Path) -> Served:
    with serving(topics, body_timeout=0.4) as served:
        yield served


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_requests(shape: str, quick: Served, caplog: pytest.LogCaptureFixture) -> None:
    more, status = SHAPES[shape]
    with connect(quick, HEADERS + b"Connection: close\r\n" + more) as connection:
        answer = rest(connection)
    until(quick, "mmft_connections", 1)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert "Traceback" not in caplog.text


def test_odd_clients(quick: Served, caplog: pytest.LogCaptureFixture) -> None:
    old = connect(quick, GREETING.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert rest(old).startswith(b"HTTP/1.1 200 ")
    last = GREETING.replace(b"Host: x", b"Host: x\r\nConnection: close")
    answers = rest(connect(quick, GREETING * 2 + last))
    assert answers.count(b"HTTP/1.1 200 ") == 3
    for _ in range(5):  # They are gone before they are answered.
        reset = connect(quick, GREETING * 2)
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        reset.close()
    head = HEADERS.replace(b"POST", b"HEAD") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert rest(connect(quick, head)).startswith(b"HTTP/1.1 400 ")
    for path, status in (("/health", 200), ("/ready", 200), ("/nothing", 404)):
        head = quick.client.head(path)
        assert (head.status_code, head.content) == (status, b"")
    until(quick, "mmft_connections", 1)
    until(quick, "mmft_queue_depth", 0)
    assert "Traceback" not in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_300_slow_clients_and_256_files(topics: Path) -> None:
    import resource

    with (
        forked(topics, "--drain-delay", "600", files=256) as (process, address),
        ExitStack() as closing,
    ):
        limit = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert limit == (256, 256)
        host, port = address.removeprefix("http://").split(":")
        for _ in range(300):
            connection = socket.create_connection((host, int(port)), timeout=30)
            closing.enter_context(connection).sendall(UNFINISHED)
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            assert client.get("/health").status_code == 200
            assert client.post("/predict", json={"text": "hello"}).status_code == 200
        process.send_signal(signal.SIGINT)  # Which does not wait for the delay.
        assert process.wait(30) == 0
        assert len(process.told) < 10_000


def test_more_connections_than_files(topics: Path, mmft: Mmft) -> None:
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] == resource.RLIM_INFINITY:
        pytest.skip("there is no limit of open files")
    found = mmft("serve", topics, "--port", "0", "--max-connections", 2**40)
    assert found.code == 2
    assert "--max-connections asks for" in found.err and "ulimit -n" in found.err


def test_less_memory_for_all_than_for_one(topics: Path, mmft: Mmft) -> None:
    found = mmft("serve", topics, "--max-buffered", "1000")
    assert found.code == 2 and "--max-buffered 1,000 is less than one request" in found.err
