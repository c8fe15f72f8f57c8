"""Requests that are lost while two servers are restarted in turn.

    python benchmarks/rolling_restarts.py RUN JSON [--restarts 10] [--requests 1000]

JSON is the body of each request, as '{"text": "hello"}'. Two processes of `mmft serve` stand behind
a balancer on the side of the client, which asks for `/ready` every 0.2 s and repeats no request.
Each restart is a SIGTERM, the end of the process, and a new one at the same port; requests go on
all the time, over connections that are kept.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.serve.balancer import Balancer


def start(run: Path, port: int, delay: float) -> tuple[subprocess.Popen[str], int]:
    arguments = [sys.executable, "-m", "mmft_core", "serve", str(run), "--port", str(port)]
    process = subprocess.Popen(
        [*arguments, "--drain-delay", str(delay)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline().rpartition(":")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("json", type=str.encode)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--drain-delay", type=float, default=2.0)
    arguments = parser.parse_args()
    servers = [start(arguments.run, 0, arguments.drain_delay) for _ in range(2)]
    restarted = 0

    with Balancer([("127.0.0.1", port) for _, port in servers], 0.2) as balancer:

        def goes_on() -> bool:
            asked = sum(balancer.answers.values())
            return restarted < arguments.restarts or asked < arguments.requests

        # As many requests as are wanted, and no fewer than the restarts take time for.
        asking = (arguments.json, goes_on, 0.05)
        clients = [
            threading.Thread(target=balancer.client, args=asking) for _ in range(arguments.clients)
        ]
        for thread in clients:
            thread.start()
        began = time.perf_counter()
        for restart in range(arguments.restarts):
            number = restart % 2
            for each in range(2):
                balancer.wait_until(each, True)
            process, port = servers[number]
            process.send_signal(signal.SIGTERM)
            code = process.wait()
            servers[number] = start(arguments.run, port, arguments.drain_delay)
            balancer.wait_until(number, True)
            restarted += 1
            print(f"restart {restarted}: exit code {code}, {dict(balancer.answers)}", flush=True)
        for thread in clients:
            thread.join()
    for process, _ in servers:
        process.terminate()
        process.wait()
    total = sum(balancer.answers.values())
    lost = total - balancer.answers["200"]
    print(f"{total} requests in {time.perf_counter() - began:.0f} s, {lost} lost")


if __name__ == "__main__":
    main()
