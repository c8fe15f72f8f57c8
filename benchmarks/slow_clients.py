"""What good clients notice of slow and greedy ones: latencies without and beside 1,000 of them.

    python benchmarks/slow_clients.py RUN MODALITY=FILE_OR_TEXT [--seconds 20] [--files 1024]

`mmft serve` runs in a process of its own with a limit of open files. Of the slow clients, 60% send
a header of their request about every second and never end, and 40% do so with bytes of a body. The
greedy ones send 32 MB of JSON numbers, wait for the answer, and begin again a second later. All
begin anew when their connections are closed. Good clients ask 10 times a second each, every other
time over a new connection.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import multiprocessing
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GREEDY = b'{"text": [' + b"0," * (16 * 1024 * 1024 - 20) + b"0]}"
HEAD = b"POST /predict HTTP/1.1\r\nHost: slow\r\n"
JSON = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@contextmanager
def server(run: Path, files: int) -> Iterator[tuple[str, int, subprocess.Popen[str]]]:
    """Run the command; give where it listens."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    arguments = [sys.executable, "-m", "mmft_core", "serve", str(run), "--port", "0"]
    process = subprocess.Popen(
        [*arguments, "--drain-delay", "0", "--shutdown-timeout", "2"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().split()[-1].removeprefix("http://")
        yield address.rpartition(":")[0], int(address.rpartition(":")[2]), process
    finally:
        process.terminate()
        process.wait()


async def slow(host: str, port: int, start: bytes, more: bytes) -> None:
    """Send a start, then a little every second, again and again."""
    await asyncio.sleep(random.random())
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(start)
            while not reader.at_eof():
                writer.write(more)
                await writer.drain()
                await asyncio.sleep(random.uniform(0.5, 1.5))
                if writer.is_closing():
                    break
            writer.close()
        except OSError:
            await asyncio.sleep(1.0)


async def greedy(host: str, port: int) -> None:
    """Send more values than anybody needs, again and again."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(HEAD + JSON % len(GREEDY))
            writer.write(GREEDY)
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(1.0)


def attack(host: str, port: int, number: int, greedy_ones: int) -> None:
    """A process of slow and greedy clients."""

    async def all_of_them() -> None:
        headers = [slow(host, port, HEAD, b"X-Slow: 1\r\n") for _ in range(number * 6 // 10)]
        body = HEAD + JSON % 1_000_000
        bodies = [slow(host, port, body, b" ") for _ in range(number - len(headers))]
        await asyncio.gather(*headers, *bodies, *(greedy(host, port) for _ in range(greedy_ones)))

    resource.setrlimit(resource.RLIMIT_NOFILE, (number + 500, number + 500))
    asyncio.run(all_of_them())


def form(parts: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """A form, and its headers."""
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in parts.items():
        file = Path(value)
        of_file = f'; filename="{file.name}"' if file.is_file() else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n'
        body += head.encode() + (file.read_bytes() if of_file else value.encode()) + b"\r\n"
    kind = f"multipart/form-data; boundary={boundary}"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": kind}


def good(
    host: str, port: int, parts: dict[str, str], until: float, times: list[float], codes: Counter
) -> None:
    body, headers = form(parts)
    connection = http.client.HTTPConnection(host, port, timeout=60)
    turn = 0
    while time.perf_counter() < until:
        turn += 1
        if turn % 2:
            connection.close()  # The next request opens a new one.
        started = time.perf_counter()
        try:
            connection.request("POST", "/predict", body, headers)
            answer = connection.getresponse()
            answer.read()
            codes[str(answer.status)] += 1
        except (OSError, http.client.HTTPException) as error:
            codes[type(error).__name__] += 1
            connection.close()
        times.append(time.perf_counter() - started)
        time.sleep(max(0.0, started + 0.1 - time.perf_counter()))
    connection.close()


def measure(host: str, port: int, parts: dict[str, str], clients: int, seconds: float) -> float:
    """Print what good clients notice; give their 99th percentile in milliseconds."""
    times: list[float] = []
    codes: Counter[str] = Counter()
    until = time.perf_counter() + seconds
    arguments = (host, port, parts, until, times, codes)
    threads = [threading.Thread(target=good, args=arguments) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p99 = 1000 * statistics.quantiles(times, n=100)[-1]
    told = ", ".join(f"{number} x {code}" for code, number in sorted(codes.items()))
    print(f"p50 {1000 * statistics.median(times):7.1f} ms   p99 {p99:7.1f} ms   {told}", flush=True)
    return p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("inputs", nargs="+", metavar="MODALITY=FILE_OR_TEXT")
    parser.add_argument("--slow", type=int, default=1000)
    parser.add_argument("--greedy", type=int, default=2)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--files", type=int, default=1024)
    arguments = parser.parse_args()
    parts = dict(given.split("=", 1) for given in arguments.inputs)
    with server(arguments.run, arguments.files) as (host, port, _):
        measured = (host, port, parts, arguments.clients)
        measure(*measured, 2.0)  # Warm.
        for _ in range(arguments.rounds):
            print("quiet      ", end="")
            quiet = measure(*measured, arguments.seconds)
            crowd = (arguments.slow, 0), (arguments.slow, arguments.greedy)
            for name, numbers in zip(("slow       ", "and greedy "), crowd, strict=True):
                process = multiprocessing.Process(target=attack, args=(host, port, *numbers))
                process.start()
                time.sleep(5.0)
                print(name, end="")
                ratio = measure(*measured, arguments.seconds) / quiet
                print(f"           {ratio:.2f} times the quiet p99")
                process.kill()
                process.join()
                time.sleep(2.0)


if __name__ == "__main__":
    main()
