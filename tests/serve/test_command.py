"""`mmft serve` as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.conftest import Finished
from tests.faults.processes import Cli
from tests.fusion.tools import write_table
from tests.serve.tools import digit, train

Mmft = Callable[..., Finished]

SERVING = "serving  http://127.0.0.1:"


@contextmanager
def started(run: Path, *more: str, **environment: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The command in a process of its own, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mmft_core", "serve", str(run), "--port", "0", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    try:
        assert line.startswith(SERVING), process.stderr.read()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


class Forked(Cli):
    """The command in a process that need not import torch anew."""

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    @property
    def told(self) -> str:
        """Its output without the first line."""
        return self.text.partition("\n")[2]


@contextmanager
def forked(
    run: Path, *more: str, files: int | None = None, **environment: str
) -> Iterator[tuple[Forked, str]]:
    """The same as `started`, but forked.

    Args:
        files: how many files the process may open.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        first = partial(_prepare, files, environment)
        process = Forked(["serve", run, "--port", "0", *more], log, first)
        try:
            process.wait_for(log)
            while "\n" not in process.text and process.running:
                time.sleep(0.01)
            assert process.text.startswith(SERVING), process.text
            yield process, process.text.split()[1]
        finally:
            process.kill()


def _prepare(files: int | None, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    if files is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def test_it_finishes_what_it_has_begun(digits: Path) -> None:
    """SIGTERM comes when half a request has arrived: the rest is read, answered, and 0 returned."""
    content = digit(3)
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = head + content + b"\r\n--b--\r\n"
    lines = (
        "POST /predict HTTP/1.1",
        "Host: here",
        "Authorization: Bearer secret",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(body)}",
    )
    with started(digits, "--drain-delay", "0", MMFT_API_KEY="secret") as (process, address):
        host, port = address.removeprefix("http://").split(":")
        key = {"authorization": "Bearer secret"}
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:50])
            with httpx.Client(base_url=address, headers=key, trust_env=False) as client:
                assert client.get("/model", headers={"authorization": ""}).status_code == 401
                while "mmft_connections 2.0" not in client.get("/metrics").text:
                    pass
            process.send_signal(signal.SIGTERM)
            while listens(host, int(port)):
                pass
            connection.sendall(body[50:])
            answer = b""
            while part := connection.recv(65536):
                answer += part
        assert process.wait(60) == 0
        assert process.stderr is not None and process.stderr.read() == ""
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert len(json.loads(answer.split(b"\r\n\r\n")[1])["prediction"]["top"]) == 5


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=60).close()
    except ConnectionError:
        return False
    return True


MISTAKES = {
    "no run": (("nowhere",), "There is no folder nowhere"),
    "a limit of nothing": (
        ("RUN", "--limit", "apples=3"),
        "UNIT is one of pixels, seconds, characters",
    ),
    "a limit that is none": (("RUN", "--limit", "seconds"), "'seconds' is not UNIT=MAX"),
    "no seconds": (("RUN", "--drain-delay", "nan"), "'nan' is not a finite number"),
    "an empty key": (("RUN", "--api-key", ""), "The API key is empty"),
    "an address of others": (("RUN", "--host", "192.0.2.1"), "Give --host an address of this"),
    "a setting that is none": (("RUN", "--set", "task.colour=red"), "task.colour"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_in_one_sentence(mistake: str, digits: Path, mmft: Mmft) -> None:
    arguments, sentence = MISTAKES[mistake]
    found = mmft("serve", *(digits if a == "RUN" else a for a in arguments))
    assert found.code == 2
    assert sentence in found.err and "Traceback" not in found.err


def test_adapters_are_for_chats(tmp_path: Path, topics: Path, mmft: Mmft) -> None:
    """Only requests for chats name an adapter; others would all be answered by the run itself."""
    kept = ("--weights", topics, "--tune=lora", "--set=engine.lora.save=adapter")
    data = ("--dataset", topics.parent / "topics.csv")
    run = train(tmp_path / "run", "text-cls", "--backbone=minilm", *kept, *data)
    found = mmft("serve", run, "--adapter", f"other={run}")
    assert found.code == 2
    assert "--adapter serves chat models beside one another" in " ".join(found.err.split())


def test_a_port_that_is_taken(digits: Path, mmft: Mmft) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = mmft("serve", digits, "--port", str(other.getsockname()[1]))
    assert found.code == 2
    assert "address already in use" in found.err and "--port 0" in found.err


def test_an_index_of_another_model(tmp_path: Path, digits: Path, mmft: Mmft) -> None:
    from tests.serve.conftest import IMAGE
    from tests.serve.tools import train

    run = train(tmp_path / "run", "image-retrieval", "--backbone=resnet18", *IMAGE)
    data = write_table(tmp_path / "data", 6)
    assert mmft("index", run, data.parent / "photos").code == 0
    model = run / "model" / "model.json"
    model.write_text(model.read_text() + "\n")
    (model.parent / "digests.json").unlink()
    found = mmft("serve", run, "--port", "0")
    assert found.code == 2
    assert "built by another model" in found.err and "mmft index" in found.err
