"""Inputs at addresses: fetched within limits, from the public internet alone unless allowed."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmft_core.errors import SampleError
from mmft_core.inference import downloads
from mmft_core.inference.downloads import Limits, Remote, is_public, is_url, url_suffix

CONTENT = b"content" * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]
        name = self.path.strip("/").partition("?")[0]
        getattr(self, f"send_{name.partition('.')[0]}", self.send_file)()

    def reply(self, content: bytes = CONTENT, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def send_file(self) -> None:
        self.reply()

    def send_sized(self) -> None:
        self.reply(Content_Length=str(len(CONTENT)))

    def send_gone(self) -> None:
        self.send_error(404, "not \x1b[31mhere")

    def send_moved(self) -> None:
        self.reply(b"", 302, Location="file.bin")

    def send_round(self) -> None:
        self.reply(b"", 302, Location="/round")

    def send_local(self) -> None:
        self.reply(b"", 302, Location="file:///etc/passwd")

    def send_inside(self) -> None:
        self.reply(b"", 302, Location=f"http://localhost:{self.server.server_address[1]}/file.bin")

    def send_cut(self) -> None:
        self.reply(Content_Length="99999")

    def send_packed(self) -> None:
        self.reply(Content_Encoding="gzip")

    def send_large(self) -> None:
        self.reply(CONTENT, Content_Length="2000000")

    def send_endless(self) -> None:
        self.reply(b"x" * 2_000_000)

    def send_slowly(self) -> None:
        """A byte of a header at a time, each sooner than a timeout between two would end."""
        self.drip(b"HTTP/1.0 200 OK\r\nX: " + b"x" * 100)

    def send_trickle(self) -> None:
        self.reply(b"")
        self.drip(CONTENT)

    def drip(self, content: bytes) -> None:
        for place in range(len(content)):
            self.wfile.write(content[place : place + 1])
            self.wfile.flush()
            time.sleep(0.05)

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # The client has hung up.
            super().handle()


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.asked = []  # type: ignore[attr-defined]
    made.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def fetch(server: http.server.ThreadingHTTPServer, tmp_path: Path) -> Any:
    def fetched(name: str, host: str = "127.0.0.1", **limits: Any) -> Path:
        wanted = Limits(tmp_path, **{"private": True, "seconds": 5.0, "megabytes": 1.0} | limits)
        url = name if "://" in name else f"http://{host}:{server.server_port}/{name}"
        return Remote(url, wanted).fetch((".bin",))

    return fetched


@pytest.mark.parametrize("name", ["file.bin", "sized", "moved", "file.bin?size=1&b=ü#part"])
def test_it_is_fetched_once(fetch: Any, server: Any, name: str) -> None:
    path = fetch(name)
    assert path.read_bytes() == CONTENT
    assert path.suffix == (".bin" if ".bin" in name else "")
    asked = len(server.asked)
    assert fetch(name) == path and len(server.asked) == asked
    assert server.asked[0][1] == f"127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "the server answers 404"),
        ("round", "is redirected more than 5 times"),
        ("local", "is redirected to an address of file"),
        ("cut", "the connection closed after 7,000 of 99,999 bytes"),
        ("packed", "is compressed (gzip)"),
        ("large", "is larger than 1 MB"),
        ("endless", "is larger than 1 MB"),
        ("http://user:secret@127.0.0.1/x", "contains a user name"),
        ("http:///x", "names no host"),
        ("http://127.0.0.1:nought/x", "cannot be fetched"),
    ],
)
def test_what_cannot_be_had(fetch: Any, tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(SampleError) as caught:
        fetch(name)
    assert reason in caught.value.reason
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["slowly", "trickle"])
def test_it_has_so_much_time_in_all(fetch: Any, name: str) -> None:
    with pytest.raises(SampleError, match="did not arrive within 0.3 seconds"):
        fetch(name, seconds=0.3)


def test_a_host_that_is_not_there(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(SampleError, match=r"its host nowhere\.example is not found"):
        fetch("file.bin", host="nowhere.example")


def test_a_resolver_that_does_not_answer(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [waiting.wait(20)][1:])
    with pytest.raises(SampleError, match="did not arrive within 0.2 seconds"):
        fetch("file.bin", host="somewhere.example", seconds=0.2)
    waiting.set()


class TestPrivateHosts:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0"])
    def test_they_are_refused(self, fetch: Any, server: Any, host: str) -> None:
        with pytest.raises(SampleError, match="--allow-private-hosts permits"):
            fetch("file.bin", host=host, private=False)
        assert not server.asked

    def test_redirects_are_checked_as_well(
        self, fetch: Any, server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        public = socket.getaddrinfo("127.0.0.1", 0)[0][4][0]
        seen = []

        def judged(address: str) -> bool:
            seen.append(address)
            return address == public and len(seen) == 1

        monkeypatch.setattr(downloads, "is_public", judged)
        with pytest.raises(SampleError, match="its host localhost has the private address"):
            fetch("inside", private=False)
        assert [path for path, _ in server.asked] == ["/inside"]

    def test_the_address_that_was_checked_is_connected_to(
        self, fetch: Any, server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name that changes its mind after the check (DNS rebinding) gains nothing."""
        answers = iter(["93.184.215.14", "127.0.0.1"])
        connect, connected = socket.create_connection, []

        def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            address = next(answers) if host == "rebound.example" else host
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        def create(address: tuple[str, int], **more: Any) -> socket.socket:
            connected.append(address[0])
            return connect(("127.0.0.1", server.server_port), **more)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket, "create_connection", create)
        fetch("file.bin", host="rebound.example", private=False)
        assert connected == ["93.184.215.14"] and next(answers) == "127.0.0.1"
        assert server.asked[0][1].startswith("rebound.example")

    @pytest.mark.parametrize(
        "address",
        [
            "10.0.0.1", "172.16.3.4", "192.168.1.1", "127.0.0.1", "169.254.169.254", "0.0.0.0",
            "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
            "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
            "2002:7f00:1::", "2001:db8::1",
        ],
    )  # fmt: skip
    def test_private_addresses(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
    def test_public_addresses(self, address: str) -> None:
        assert is_public(address)


def test_what_is_an_address() -> None:
    assert is_url("https://x.org/a b") is False and is_url("HTTPS://x.org")
    assert not any(map(is_url, ["ftp://x.org", "file:///x", "x.org", "http:", "see http://x.org"]))
    assert url_suffix("http://x.org/a.b/c.PNG?x=.gif#.bmp") == ".png"
    assert url_suffix("http://[x.org/c.png") == ""
