"""Contenders for the same work, each in a process of its own and in turn, over several rounds.

A machine that slows down then slows all of them; ratios are taken within rounds. The time that
counts is a contender's own, of the work without the start; memory and CPU time are those of all of
its processes, watched from outside. Only the standard library and psutil are needed here, so that a
contender may have an environment of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Setup:
    """What the work is done on.

    Attributes:
        folder: with the data; contenders may leave files there for later rounds.
        samples: pictures, texts, pairs of texts, or recordings.
        batch_size: samples in a step.
        whisper: folder of transformers with a Whisper.
        recordings: a folder of files to transcribe, instead of built-in ones.
        timm: a checkout of timm's repository, which alone has its training script.
        autogluon: the interpreter of an environment with AutoGluon, which needs an older torch.
    """

    folder: Path
    samples: int
    batch_size: int
    whisper: Path | None = None
    recordings: Path | None = None
    timm: Path | None = None
    autogluon: Path | None = None


@dataclass(frozen=True)
class Measured:
    """What a contender says of its work.

    Attributes:
        rate: work a second, from its first step to its last.
        samples: how many it worked on.
        outcome: what came of it, such as the loss, by which one sees that the work was the same.
        waiting: the share of the time in which it waited for data, if it knows.
        versions: of what is no installed package.
    """

    rate: float
    samples: int
    outcome: float
    waiting: float | None = None
    versions: str = ""


@dataclass(frozen=True)
class Contender:
    """Who does a job.

    Attributes:
        packages: whose versions are shown.
        needs: the attribute of `Setup` that it cannot do without, if any.
        python: the attribute of `Setup` with its interpreter, if it has one of its own.
    """

    run: Callable[[Setup], Measured]
    packages: tuple[str, ...]
    needs: str = ""
    python: str = ""


@dataclass(frozen=True)
class Job:
    """Work that several contenders do.

    Attributes:
        title: what is done on what.
        unit: of the rate.
        outcome: what `Measured.outcome` is.
        tolerance: by how much outcomes of the same work may differ.
        samples: how many by default.
        batch_size: samples in a step.
        prepare: makes the data.
        remark: what else there is to say of the contenders' rates.
    """

    title: str
    unit: str
    outcome: str
    tolerance: float
    samples: int
    batch_size: int
    prepare: Callable[[Setup], None]
    contenders: Mapping[str, Contender]
    remark: Callable[[Mapping[str, float]], str] | None = None


@dataclass
class Row:
    """A contender's rounds."""

    rounds: list[Measured] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    failure: str = ""


def contend(job: Job, name: str, setup: Setup) -> None:
    """What a contender's process does: work, then print what it measured."""
    contender = job.contenders[name]
    measured = contender.run(setup)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in contender.packages]
    versions += [measured.versions] if measured.versions else []
    print(json.dumps({**asdict(measured), "versions": ", ".join(versions)}))


def run_rounds(
    job: Job,
    names: Sequence[str],
    rounds: int,
    setup: Setup,
    command: Callable[[str, Setup], Sequence[str]],
) -> dict[str, Row]:
    """Let the contenders work in turn. One that fails is left out from then on, and says why.

    Args:
        command: by which `contend` is called for a contender.
    """
    rows = {name: Row() for name in names}
    job.prepare(setup)
    for number in range(rounds):
        for name, row in rows.items():
            if not row.failure:
                _measure(command(name, setup), row)
                told = row.failure or f"{row.rounds[-1].rate:.2f} {job.unit}"
                print(f"round {number + 1}  {name}: {told}", file=sys.stderr, flush=True)
    return rows


def _measure(command: Sequence[str], row: Row) -> None:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, text=True)
        peak, ended = [0.0], threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watch.join()
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.stderr.write(told := errors.read())
            row.failure = next(reversed(told.strip().splitlines()), f"exit {process.returncode}")
            return
        found = json.loads(out.read().splitlines()[-1])
    row.rounds.append(Measured(**found))
    row.peak_mb.append(peak[0])
    row.cpu_seconds.append(usage.ru_utime + usage.ru_stime)


def _watch(pid: int, peak: list[float], ended: threading.Event) -> None:
    """Follow the memory of a process and its children, shared pages counted once."""
    import psutil

    while not ended.wait(0.5):
        try:
            first = psutil.Process(pid)
            family = [first, *first.children(recursive=True)]
        except psutil.Error:
            return
        total = 0
        for process in family:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total / 1e6)


def table(job: Job, rows: Mapping[str, Row], base: str = "mmft") -> str:
    """A table of medians as Markdown, with the ratio of `base` over each contender, and remarks."""
    lines = [
        f"| {job.title} | {job.unit} | {base} over it | {job.outcome} | waiting | peak memory | "
        "CPU time with start |",
        "|---" * 7 + "|",
    ]
    for name, row in rows.items():
        versions = row.rounds[0].versions if row.rounds else ""
        title = f"{name} ({versions})" if versions else name
        if row.failure:
            lines.append(f"| {title} | failed: {row.failure.replace('|', '/')} | | | | | |")
            continue
        rate = statistics.median(m.rate for m in row.rounds)
        outcome = statistics.median(m.outcome for m in row.rounds)
        waits = [m.waiting for m in row.rounds if m.waiting is not None]
        waiting = f"{statistics.median(waits):.1%}" if waits else ""
        memory, seconds = statistics.median(row.peak_mb), statistics.median(row.cpu_seconds)
        lines.append(
            f"| {title} | {rate:,.2f} | {_ratio(rows.get(base), row)} | {outcome:.4f} | {waiting} "
            f"| {memory:,.0f} MB | {seconds:.1f} s |"
        )
    remarks = _differences(job, rows)
    if job.remark is not None:
        rates = {
            n: statistics.median(m.rate for m in r.rounds) for n, r in rows.items() if r.rounds
        }
        remarks.append(job.remark(rates))
    return "\n".join([*lines, *(f"\n{remark}" for remark in remarks)])


def _ratio(base: Row | None, other: Row) -> str:
    if base is None or base.failure:
        return ""
    pairs = zip(base.rounds, other.rounds, strict=True)
    return f"{statistics.median(a.rate / b.rate for a, b in pairs):.2f}"


def _differences(job: Job, rows: Mapping[str, Row]) -> list[str]:
    """What shows that contenders did not do the same work."""
    done = {name: row.rounds for name, row in rows.items() if row.rounds and not row.failure}
    if not done:
        return []
    usual = statistics.median(m.outcome for rounds in done.values() for m in rounds)
    samples = {name: {m.samples for m in rounds} for name, rounds in done.items()}
    remarks = []
    if len(set().union(*samples.values())) > 1:
        counts = ", ".join(f"{name} {sorted(own)}" for name, own in samples.items())
        remarks.append(f"Not the same work, samples: {counts}.")
    for name, rounds in done.items():
        own = statistics.median(m.outcome for m in rounds)
        if not abs(own - usual) <= job.tolerance:
            remarks.append(
                f"Not the same work? {job.outcome} of {name}: {own:.4f}, not {usual:.4f}."
            )
    return remarks
