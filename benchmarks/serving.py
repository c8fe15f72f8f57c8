"""What micro-batches are worth: requests a second and latencies, batched and one at a time.

    python benchmarks/serving.py RUN MODALITY=FILE_OR_TEXT [--clients 1 16] [--seconds 8]

`mmft serve` runs in a process of its own with `--max-batch 1` and `--max-batch 16`; each client
asks again as soon as it is answered.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx


@contextmanager
def server(run: Path, *more: str) -> Iterator[str]:
    """Run the command; give its address."""
    arguments = [sys.executable, "-m", "mmft_core", "serve", str(run), "--port", "0", *more]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


def ask(address: str, parts: dict[str, Any], until: float, times: list[float]) -> None:
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        while time.perf_counter() < until:
            started = time.perf_counter()
            answer = client.post("/predict", files=parts)
            if answer.status_code == 200:
                times.append(time.perf_counter() - started)


def measure(address: str, parts: dict[str, Any], clients: int, seconds: float) -> str:
    ask(address, parts, time.perf_counter() + 1.0, [])  # Warm.
    times: list[float] = []
    before = batches(address)
    started = time.perf_counter()
    arguments = (address, parts, started + seconds, times)
    threads = [threading.Thread(target=ask, args=arguments) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    items, number = (after - b for after, b in zip(batches(address), before, strict=True))
    p95 = statistics.quantiles(times, n=20)[-1]
    return (
        f"{clients:8} {len(times) / elapsed:12.1f} {1000 * statistics.median(times):10.1f} "
        f"{1000 * p95:10.1f} {items / number:10.1f}"
    )


def batches(address: str) -> tuple[float, float]:
    """How many inputs the model was given so far, and how many batches."""
    lines = httpx.get(f"{address}/metrics", trust_env=False).text.splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if line.startswith("mmft_batch_size_"))
    return float(told["mmft_batch_size_sum"]), float(told["mmft_batch_size_count"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("inputs", nargs="+", metavar="MODALITY=FILE_OR_TEXT")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    parts: dict[str, Any] = {}
    for given in arguments.inputs:
        modality, _, value = given.partition("=")
        file = Path(value)
        parts[modality] = (file.name, file.read_bytes()) if file.is_file() else (None, value)
    print("max-batch  clients   requests/s     p50 ms     p95 ms      batch")
    for most in (1, 16):
        with server(arguments.run, "--max-batch", str(most)) as address:
            for clients in arguments.clients:
                row = measure(address, parts, clients, arguments.seconds)
                print(f"{most:9} {row}", flush=True)


if __name__ == "__main__":
    main()
