"""Downloading inputs from `http(s)://` addresses, within limits and not from private networks.

A host name is resolved once, the address is checked, and the connection goes to that same address,
so a name that changes between check and use (DNS rebinding) gains nothing. Redirects are checked in
the same way. Proxies from the environment are not used. The download is then read like any file:
the model's processor decides whether it is a picture, for example.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import ipaddress
import queue
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from mmft_core.errors import SampleError
from mmft_core.utils.files import storage_errors

SCHEMES = ("http", "https")

_REDIRECTS = 5
_BLOCK = 1 << 16
_PATH = "/%:@!$&'()*+,;=~-._"
"""Characters that stay in the path of a request; others are percent-encoded."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Limits:
    """What may be fetched, and where it is kept.

    Attributes:
        folder: for what was fetched, shared by worker processes.
        megabytes: of one file.
        seconds: for one file, from looking up its host to its last byte.
        private: whether hosts may be this machine or in a private network.
    """

    folder: Path
    megabytes: float = 100.0
    seconds: float = 30.0
    private: bool = False


@dataclass(frozen=True)
class Remote:
    """A file at an address."""

    url: str
    limits: Limits

    def __str__(self) -> str:
        return self.url

    def fetch(self, suffixes: tuple[str, ...]) -> Path:
        """Fetch the file, unless it has been fetched; its name keeps a suffix of these.

        Raises:
            SampleError: it cannot be downloaded, or exceeds a limit.
            StorageError: it cannot be kept.
        """
        suffix, folder = url_suffix(self.url), self.limits.folder
        name = hashlib.sha256(self.url.encode("utf-8", "replace")).hexdigest()
        path = folder / (name + (suffix if suffix in suffixes else ""))
        if path.exists():
            return path
        with storage_errors(folder), tempfile.TemporaryDirectory(dir=folder) as part:
            file = Path(part) / path.name
            with file.open("wb") as stream:
                for block in _download(self.url, self.limits):
                    stream.write(block)
            return file.replace(path)


def is_url(text: str) -> bool:
    """Whether a text is nothing but an `http(s)://` address."""
    start, colon, _ = text.partition("://")
    return bool(colon) and start.lower() in SCHEMES and not any(c.isspace() for c in text)


def url_suffix(url: str) -> str:
    """The suffix of the file that an address seems to name, in lower case."""
    with contextlib.suppress(ValueError):
        return PurePosixPath(urlsplit(url).path).suffix.lower()
    return ""


def is_public(address: str) -> bool:
    """Whether an IP address is public, and so is the IPv4 address that it may contain."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class _RefusedError(Exception):
    """Why something is not fetched; its text is the reason for a SampleError."""


def _download(url: str, limits: Limits) -> Iterator[bytes]:
    """The content at an address, with redirects followed.

    Raises:
        SampleError: it cannot be downloaded, or exceeds a limit.
    """
    try:
        yield from _followed(url, limits)
    except _RefusedError as error:
        raise SampleError(url, str(error)) from None
    except TimeoutError:
        raise SampleError(url, f"it did not arrive within {limits.seconds:g} seconds") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SampleError(url, f"it cannot be fetched: {told}") from None


def _followed(url: str, limits: Limits) -> Iterator[bytes]:
    deadline = _Deadline(limits.seconds)
    for _ in range(_REDIRECTS + 1):
        with _answer(url, limits, deadline) as answer:
            location = answer.getheader("Location")
            if answer.status not in (301, 302, 303, 307, 308) or location is None:
                yield from _content(answer, limits)
                return
        url = urljoin(url, location)
    raise _RefusedError(f"it is redirected more than {_REDIRECTS} times")


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: there are none.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@contextlib.contextmanager
def _answer(url: str, limits: Limits, deadline: _Deadline) -> Iterator[http.client.HTTPResponse]:
    """Ask for what is at an address."""
    parts, secure = _checked(url), url.lower().startswith("https")
    host = cast(str, parts.hostname).encode("idna").decode("ascii")
    port = parts.port or (443 if secure else 80)
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(_connected(host, port, limits, deadline))
        if secure:
            context = ssl.create_default_context()
            sock.settimeout(deadline.left())
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname=host))
        connection = http.client.HTTPConnection(host, port)
        connection.default_port = 443 if secure else 80
        connection.sock = cast(socket.socket, _TimedSocket(sock, deadline))
        path = quote(parts.path or "/", safe=_PATH)
        query = f"?{quote(parts.query, safe=_PATH + '?')}" if parts.query else ""
        headers = {"User-Agent": "mmft", "Accept": "*/*", "Accept-Encoding": "identity"}
        connection.request("GET", path + query, headers=headers)
        yield stack.enter_context(contextlib.closing(connection.getresponse()))


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise _RefusedError(f"it is redirected to an address of {parts.scheme or 'no scheme'}")
    if not parts.hostname:
        raise _RefusedError("it names no host")
    if parts.username is not None:
        raise _RefusedError("it contains a user name, which is not allowed")
    return parts


def _connected(host: str, port: int, limits: Limits, deadline: _Deadline) -> socket.socket:
    """Connect to a host at the address that was checked."""
    addresses = _resolved(host, port, deadline)
    for address in addresses:
        if not limits.private and not is_public(address):
            raise _RefusedError(
                f"it is refused: its host {host} has the private address {address}, "
                "which --allow-private-hosts permits"
            )
    failure: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=deadline.left())
        except OSError as error:
            failure = error
    raise failure or _RefusedError(f"it cannot be fetched: {host} has no address")


def _resolved(host: str, port: int, deadline: _Deadline) -> list[str]:
    """The addresses of a host. The resolver knows no time limit, so it is asked in a thread."""
    answers: queue.Queue[list[str] | None] = queue.Queue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(address[0]) for *_, address in found])
        except (OSError, ValueError):
            answers.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError from None
    if answer is None:
        raise _RefusedError(f"it cannot be fetched: its host {host} is not found")
    return answer


def _content(answer: http.client.HTTPResponse, limits: Limits) -> Iterator[bytes]:
    """The content of an answer, a block at a time."""
    if answer.status != 200:
        raise _RefusedError(
            f"it cannot be fetched: the server answers {answer.status} {answer.reason}"
        )
    encoding = answer.getheader("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise _RefusedError(f"it cannot be fetched: it is compressed ({encoding})")
    most, length, got = round(limits.megabytes * 1e6), answer.length, 0
    while got <= most and (length is None or length <= most):
        block = answer.read(_BLOCK)
        if not block:
            if length is not None and got < length:
                raise _RefusedError(f"the connection closed after {got:,} of {length:,} bytes")
            return
        got += len(block)
        if got <= most:
            yield block
    raise _RefusedError(f"it is larger than {limits.megabytes:g} MB")


class _Arriving(io.RawIOBase):
    """What arrives at a socket, however slowly, until a deadline."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self.sock, self.deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.sock.settimeout(self.deadline.left())
        return self.sock.recv_into(buffer)


class _TimedSocket:
    """What `http.client` needs of a socket, which is closed by its creator."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self.sock, self.deadline = sock, deadline

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(self.deadline.left())
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Arriving(self.sock, self.deadline))

    def close(self) -> None:
        """The answer is still read after `http.client` has closed the connection."""
