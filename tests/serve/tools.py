"""A server in a thread, tiny models to be served, and pictures and sounds to ask about."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from PIL import Image
from sklearn.datasets import load_digits

from mmft_core import discover
from mmft_core.cli import main
from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Batch
from mmft_core.inference import opening
from mmft_core.inference.predictor import Predictor
from mmft_serve.app import create_app
from mmft_serve.command import open_index
from mmft_serve.server import Server, listen
from mmft_serve.settings import ServeSettings


@dataclass
class Served:
    """A server that runs, and who asks it."""

    client: httpx.Client
    address: str
    server: Server

    def predict(self, **files: Any) -> httpx.Response:
        return self.client.post("/predict", files=files)

    def await_inputs(self, count: int) -> None:
        """Wait until so many inputs have reached the model or wait for it."""
        while self.figure("mmft_batch_size_sum") + self.figure("mmft_inputs_waiting") < count:
            time.sleep(0.01)

    def figure(self, name: str) -> float:
        """The sum of a figure over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(x.split()[-1]) for x in lines if x.partition("{")[0].split()[0] == name)


class Held:
    """A network that waits until it may go on."""

    def __init__(self) -> None:
        self.may, self.began = threading.Event(), threading.Event()

    def around(self, compute: Callable[[Batch], Any]) -> Callable[[Batch], Any]:
        def held(batch: Batch) -> Any:
            self.began.set()
            assert self.may.wait(60)
            return compute(batch)

        return held


@contextmanager
def serving(
    run: Path,
    around: Callable[[Callable[[Batch], Any]], Callable[[Batch], Any]] = lambda compute: compute,
    **settings: Any,
) -> Iterator[Served]:
    """Serve a run at a free port.

    Args:
        around: is given the network and gives what is called in its place.
    """
    predictor = Predictor(opening.load(run, discover()), EngineConfig())
    searcher = open_index(run, predictor)
    allowed = ServeSettings(**{"drain_delay": 0.0} | settings)
    app = create_app(run.name, predictor, allowed, searcher, around(predictor.compute))
    listener = listen("127.0.0.1", 0)
    server = Server(app, allowed)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    limits = httpx.Limits(max_connections=200)
    try:
        with httpx.Client(base_url=address, timeout=60, limits=limits, trust_env=False) as client:
            yield Served(client, address, server)
    finally:
        server.should_exit = True
        thread.join()


def train(output: Path, task: str, *more: str | Path) -> Path:
    """A tiny run of random weights, barely trained."""
    settings = ("--set=engine.workers=0", "--set=engine.steps=1", "--batch-size=8")
    arguments = ["run", "--task", task, "--weights=none", *settings, *more, "-o", output]
    main([str(argument) for argument in arguments])
    return output


def write_rows(file: Path, header: tuple[str, str], inputs: Sequence[str | Path]) -> Path:
    """A table of a few inputs over and over, each with a target of its own."""
    rows = [
        f"{repetition} {i}" if isinstance(i, str) else i for repetition in range(8) for i in inputs
    ]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows((row, f"target {k % len(inputs)}") for k, row in enumerate(rows))
    return file


def digit(number: int, side: int = 8) -> bytes:
    """A written digit as a PNG file."""
    picture = Image.fromarray((load_digits().images[number] * 15).astype(np.uint8))
    buffer = io.BytesIO()
    picture.resize((side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def plain(colour: str, side: int = 32, form: str = "PNG") -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, form)
    return buffer.getvalue()


def hum(seconds: float, pitch: float = 220.0, rate: int = 16_000) -> bytes:
    """A hum as a WAV file."""
    buffer = io.BytesIO()
    times = np.arange(round(seconds * rate)) / rate
    soundfile.write(buffer, 0.4 * np.sin(2 * np.pi * pitch * times), rate, format="WAV")
    return buffer.getvalue()


def same(found: Any, wanted: Any) -> bool:
    """Whether two records are the same, numbers but for their last digits."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, float):
        return abs(found - wanted) <= 2e-5 * max(1.0, abs(wanted))
    return bool(found == wanted)


def lines(text: str) -> list[dict[str, Any]]:
    """The records that a command writes, without what they are of."""
    return list(by_input(text).values())


def by_input(text: str) -> dict[str, dict[str, Any]]:
    """The records that a command writes, by what they are of."""
    records = [json.loads(line) for line in text.splitlines()]
    return {record.pop("input"): record for record in records}
