"""How long commands take to start: until the first step, the first prediction, the first answer.

    python benchmarks/start.py
    python benchmarks/start.py --rounds 5 --only predict

`mmft run` is a ResNet-50 on the built-in digits from random weights, until the first line of its
`metrics.jsonl`; `mmft predict` reads one picture; `mmft serve` is asked about it as soon as it says
where it listens. Each is measured as it is, with the CPU time of all of its processes. Where its
time goes is seen in one more round, by looking a hundred times a second at what the main thread is
doing:

    discovery  finding plugins, with the imports that this takes
    imports    all others
    weights    building networks and reading their weights
    rest       everything else
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from PIL import Image

PHASES = ("discovery", "imports", "weights", "rest")
RUN = ("run", "--task", "image-cls", "--backbone", "resnet50", "--weights", "none")
_PLACES = {
    "discovery": ("mmft_core/discovery.py discover",),
    "imports": ("<frozen importlib._bootstrap> _find_and_load",),
    "weights": ("mmft_core/run/build.py build_task", "mmft_core/run/artifacts.py load"),
}
"""The functions of a phase, one of which the main thread is in; the first that fits counts."""

Measured = tuple[float, float]
"""Seconds on the clock and of the CPUs."""


def to_its_end(command: list[str], folder: Path) -> Measured:
    """A command that ends by itself."""
    with started(command) as (process, began):
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed")
        return time.perf_counter() - began, used.ru_utime + used.ru_stime


def to_the_first_step(command: list[str], folder: Path) -> Measured:
    """A training, which is stopped after its first step."""
    output = folder / "started"
    shutil.rmtree(output, ignore_errors=True)
    with started([*command, "--output", str(output)]) as (process, began):
        lines = output / "metrics.jsonl"
        while not (lines.is_file() and lines.stat().st_size):
            if process.poll() is not None:
                sys.exit(f"{' '.join(command)} ended before its first step")
            time.sleep(0.005)
        return time.perf_counter() - began, cpu_seconds(process)


def to_the_first_answer(command: list[str], folder: Path) -> Measured:
    """A server, which is stopped after it has answered."""
    with started([*command, "--port", "0"]) as (process, began):
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        form = (
            b"--part\r\nContent-Disposition: form-data; name=image; filename=digit.png\r\n"
            b"Content-Type: image/png\r\n\r\n" + picture(folder).read_bytes() + b"\r\n--part--\r\n"
        )
        headers = {"Content-Type": "multipart/form-data; boundary=part"}
        request = urllib.request.Request(f"{address}/predict", form, headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            answer.read()
        return time.perf_counter() - began, cpu_seconds(process)


@contextmanager
def started(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """A process, and when it began; it is asked to end, and waited for."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process, began
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """Of a process that is running, and of those that it has started."""
    main = psutil.Process(process.pid)
    times = [each.cpu_times() for each in (main, *main.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def picture(folder: Path) -> Path:
    return folder / "digit.png"


def commands(folder: Path) -> dict[str, tuple[list[str], Callable[[list[str], Path], Measured]]]:
    """What is measured, by name: the arguments, and until when."""
    trained = str(folder / "trained")
    return {
        "help": (["--help"], to_its_end),
        "plugins": (["plugins"], to_its_end),
        "run": ([*RUN], to_the_first_step),
        "predict": (["predict", trained, str(picture(folder))], to_its_end),
        "serve": (["serve", trained], to_the_first_answer),
    }


def prepare(folder: Path) -> None:
    """Make a picture, and a model to use, which one step is enough for."""
    Image.linear_gradient("L").resize((64, 64)).save(picture(folder))
    short = ["--set", "engine.steps=1", "--no-callback", "report"]
    trained = ["--output", str(folder / "trained")]
    made = subprocess.run(
        [sys.executable, "-m", "mmft_core", *RUN, *short, *trained], capture_output=True, text=True
    )
    if made.returncode:
        sys.exit(made.stderr)


def phases(folder: Path, name: str) -> dict[str, float]:
    """The shares of the phases in a command's time."""
    arguments, until = commands(folder)[name]
    counts = folder / "counts.json"
    until([sys.executable, __file__, "--watched", str(counts), *arguments], folder)
    found = json.loads(counts.read_text())
    return {phase: found.get(phase, 0) / sum(found.values()) for phase in PHASES}


def watched(counts: Path, arguments: list[str]) -> None:
    """Run a command and write what its main thread was doing, at every moment so far."""
    main, found = threading.main_thread().ident, Counter[str]()

    def watch() -> None:
        while True:
            time.sleep(0.01)
            frame, calls = sys._current_frames().get(main or 0), set()
            while frame is not None:
                calls.add(f"{frame.f_code.co_filename} {frame.f_code.co_name}")
                frame = frame.f_back
            found[phase_of(calls)] += 1
            beside = counts.with_suffix(".new")
            beside.write_text(json.dumps(found))
            beside.replace(counts)

    threading.Thread(target=watch, daemon=True).start()
    from mmft_core.cli import main as command_line

    command_line(arguments)


def phase_of(calls: set[str]) -> str:
    """The phase in which the main thread has these calls."""
    for phase, places in _PLACES.items():
        if any(call.endswith(places) for call in calls):
            return phase
    return "rest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(commands(Path())), action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder)
        chosen = options.only or list(commands(folder))
        measured: dict[str, list[Measured]] = {name: [] for name in chosen}
        for _ in range(options.rounds):
            for name in chosen:
                arguments, until = commands(folder)[name]
                mmft = [sys.executable, "-m", "mmft_core", *arguments]
                measured[name].append(until(mmft, folder))
        shares = {name: phases(folder, name) for name in chosen}
    print(f"medians of {options.rounds} rounds, {os.cpu_count()} CPUs")
    print(f"{'command':10}  {'seconds':>8}  {'of CPUs':>8}" + "".join(f"{p:>11}" for p in PHASES))
    for name in chosen:
        wall, cpu = map(statistics.median, zip(*measured[name], strict=True))
        told = "".join(f"{shares[name][phase]:11.0%}" for phase in PHASES)
        print(f"{name:10}  {wall:8.2f}  {cpu:8.2f}{told}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watched"]:
        watched(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
