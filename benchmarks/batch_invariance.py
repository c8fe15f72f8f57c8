"""How often an answer depends on the inputs that share its batch, in bf16 and in fp32.

    pip install -e '.[bench]'
    python benchmarks/batch_invariance.py --whisper WEIGHTS

Small networks are trained first; MiniLM is also used as it was published, and so is Whisper, if
WEIGHTS is a folder of transformers with one. Each test input is answered alone, then in batches
of 2, 8 and 32: once beside its neighbours in the data, once beside inputs drawn at random.

    changed      inputs whose answer in any of these batches is another than alone: the class, the
                 nearest of the others (in brackets the order of the nearest ten), the text
    difference   the largest of any probability or similarity
    bf16 / fp32  inputs whose answer alone in bf16 is another than alone in fp32
    1, 32        time in fp32 over time in bf16 for one input and for 32 (or all, if fewer); above
                 1, bf16 is faster. Medians of rounds in which the two take turns
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from invariance_models import Subject, made, subjects
from torch import Tensor

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Batch, Split
from mmft_core.data.splits import Unlabelled
from mmft_core.inference.predictor import Predictor
from mmft_core.loading.prepared import PreparedSample, PreparedSplit
from mmft_core.run.artifacts import LoadedModel

PRECISIONS = ("fp32", "bf16")
SIZES = (2, 8, 32)
NEAREST = 10


class Asked:
    """A model in one precision, with prepared inputs."""

    def __init__(self, model: LoadedModel, split: Split, inputs: int, precision: str) -> None:
        self.predictor = Predictor(model, EngineConfig(precision=precision, workers=0))
        self.data = PreparedSplit(
            Unlabelled(split), self.predictor.processors, model.task.codec, train=False
        )
        places = np.unique(np.linspace(0, len(split) - 1, min(inputs, len(split))).round())
        found = [self.data[0, int(place)] for place in places]
        self.items = [item for item in found if isinstance(item, PreparedSample)]

    def batch(self, chosen: Sequence[int]) -> Batch:
        batch = self.data.collate([self.items[index] for index in chosen]).batch
        assert batch is not None
        return batch

    def answers(self, batches: Sequence[Sequence[int]]) -> list[Any]:
        """A row of numbers or a text for each input, in the order of the inputs."""
        found: dict[int, Any] = {}
        for chosen in batches:
            predictions = self.predictor.compute(self.batch(chosen))
            if isinstance(predictions, Mapping):
                (predictions,) = predictions.values()
            found |= dict(zip(chosen, map(_answer, predictions), strict=True))
        return [found[index] for index in range(len(self.items))]

    def seconds(self, batches: Sequence[Batch]) -> float:
        started = time.perf_counter()
        for batch in batches:
            self.predictor.compute(batch)
        return time.perf_counter() - started


def _answer(prediction: Any) -> Any:
    if isinstance(prediction, Tensor):
        return prediction.float().numpy()
    return prediction["text"] if isinstance(prediction, Mapping) else prediction


def companies(count: int, rng: np.random.Generator) -> Iterator[list[list[int]]]:
    """Ways to divide so many inputs into batches."""
    for size in SIZES:
        for order in (np.arange(count), rng.permutation(count)):
            yield [order[k : k + size].tolist() for k in range(0, count, size)]


def said(answers: Sequence[Any], gallery: np.ndarray | None) -> list[Any]:
    """What each answer says: a text, a class, or the nearest ten of a gallery (n, D)."""
    if isinstance(answers[0], str):
        return list(answers)
    if gallery is None:
        return [int(row.argmax()) for row in answers]
    near = np.stack(answers) @ gallery.T
    np.fill_diagonal(near, -np.inf)
    return [tuple(row) for row in np.argsort(-near, axis=1, kind="stable")[:, :NEAREST]]


def differences(mine: Sequence[Any], others: Sequence[Any], gallery: np.ndarray | None) -> float:
    """The largest difference of a probability, or of a similarity to any of a gallery."""
    if isinstance(mine[0], str):
        return float("nan")
    apart = np.stack(mine) - np.stack(others)
    return float(np.abs(apart if gallery is None else apart @ gallery.T).max())


def count(changed: np.ndarray, first: np.ndarray | None) -> str:
    return f"{changed.sum()}" if first is None else f"{first.sum()} ({changed.sum()})"


def row(subject: Subject, work: Path, rounds: int) -> list[str]:
    """Ask a subject everything; give the cells of its row."""
    model, split = made(subject, work)
    asked = {p: Asked(model, split, subject.inputs, p) for p in PRECISIONS}
    number = len(asked["fp32"].items)
    embeds = "retrieval" in subject.name
    alone = {p: each.answers([[index] for index in range(number)]) for p, each in asked.items()}
    galleries = {p: np.stack(rows) if embeds else None for p, rows in alone.items()}
    cells = [subject.name, str(number)]
    for precision, each in asked.items():
        gallery, rng = galleries[precision], np.random.default_rng(0)
        wanted, worst = said(alone[precision], gallery), 0.0
        changed, first = np.zeros(number, bool), np.zeros(number, bool)
        for batches in companies(number, rng):
            found = each.answers(batches)
            changed |= _unlike(wanted, said(found, gallery))
            first |= _unlike(wanted, said(found, gallery), first=embeds)
            worst = max(worst, differences(alone[precision], found, gallery))
        cells += [
            count(changed, first if embeds else None),
            "-" if worst != worst else f"{worst:.0e}",
        ]
    answers = [said(alone[precision], galleries[precision]) for precision in PRECISIONS]
    first = _unlike(*answers, first=True) if embeds else None
    cells.append(count(_unlike(*answers), first))
    return [*cells, *(f"{speed_up(asked, min(size, number), rounds):.2f}" for size in (1, 32))]


def _unlike(mine: Sequence[Any], others: Sequence[Any], *, first: bool = False) -> np.ndarray:
    pairs = zip(mine, others, strict=True)
    return np.array([a[0] != b[0] if first else a != b for a, b in pairs])


def speed_up(asked: Mapping[str, Asked], size: int, rounds: int) -> float:
    """How many times faster bf16 is than fp32."""
    starts = range(0, len(asked["fp32"].items) - size + 1, size)
    chosen = [list(range(k, k + size)) for k in list(starts)[: 8 if size == 1 else 1]]
    batches = [asked["fp32"].batch(each) for each in chosen]
    for each in asked.values():
        each.seconds(batches[:1])  # The first call prepares things.
    ratios = []
    for _ in range(rounds):
        full, reduced = (asked[precision].seconds(batches) for precision in PRECISIONS)
        ratios.append(full / reduced)
    return statistics.median(ratios)


def processor() -> str:
    """The CPU's name, and what it has for bf16."""
    told = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    name = re.search(r"^Model name:\s*(.+)$", told, re.MULTILINE)
    able = [feature for feature in ("avx512_bf16", "amx_bf16") if feature in told]
    threads = torch.get_num_threads()
    return (
        f"{name[1] if name else 'unknown CPU'} ({', '.join(able) or 'no bf16'}), {threads} of "
        f"{os.cpu_count()} cores, torch {torch.__version__}"
    )


HEAD = (
    "model", "inputs", "fp32 changed", "difference", "bf16 changed", "difference", "bf16 / fp32",
    "1", "32",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--whisper", type=Path, help="A folder of transformers with a Whisper.")
    parser.add_argument("--only", default="", help="Only rows whose name holds this.")
    parser.add_argument("--keep", type=Path, help="Keep trained models here, and find them again.")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{processor()}\n\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = given.keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for subject in subjects(work, given.whisper):
            if given.only in subject.name:
                cells = row(subject, work, given.rounds)
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
