"""The index at 10 thousand, 100 thousand and 1 million vectors: how fast, and how right.

    python benchmarks/index.py [--sizes 10000 100000 1000000] [--width 384]

The vectors are drawn around centres that are themselves spread unevenly, as embeddings of many
topics are; the queries are drawn likewise, and are none of the vectors. Recall is of the ten that
an exact search finds. Queries are timed one by one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmft_search.items import Identity, Items, Vectors
from mmft_search.measuring import search_exactly
from mmft_search.nearest import Nearest, refresh
from mmft_search.updating import SHARD_ROWS
from mmft_search.vectors import VectorStore

QUERIES = 300
TOPICS, SUBTOPICS = 200, 20


class Embeddings:
    """Vectors of length one, around centres around centres."""

    def __init__(self, width: int) -> None:
        random = np.random.default_rng(0)
        topics = random.normal(size=(TOPICS, 1, width))
        self.centres = (topics + 0.7 * random.normal(size=(TOPICS, SUBTOPICS, width))).reshape(
            -1, width
        )
        # A few subjects are frequent and most are rare.
        weights = 1 / np.arange(1, len(self.centres) + 1) ** 0.7
        self.shares = random.permutation(weights / weights.sum())

    def draw(self, number: int, seed: int) -> Vectors:
        random = np.random.default_rng(seed)
        near = self.centres[random.choice(len(self.centres), number, p=self.shares)]
        vectors = near + 0.7 * random.normal(size=near.shape)
        found: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
            np.float32
        )
        return found


def fill(store: VectorStore, size: int, embeddings: Embeddings) -> None:
    """Write so many vectors as `mmft index` does."""
    for start in range(0, size, SHARD_ROWS):
        number = min(SHARD_ROWS, size - start)
        store.append(
            Items(
                library="benchmark",
                files=True,
                ids=[f"/library/{start + i:09}.jpg" for i in range(number)],
                stamps=["1"] * number,
                vectors=embeddings.draw(number, 1 + start),
                previews=[None] * number,
            )
        )


def timed(search: Callable[[Vectors], Any], queries: Vectors) -> tuple[float, float]:
    """Median and 95th percentile of the milliseconds that a query takes."""
    seconds = []
    for row in range(len(queries)):
        start = time.perf_counter()
        search(queries[row : row + 1])
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds), 1000 * float(np.quantile(seconds, 0.95))


def measure(size: int, width: int, folder: Path) -> list[str]:
    """One row of the table."""
    embeddings = Embeddings(width)
    store = VectorStore.create(folder, Identity(model="", run="", modality="image"))
    start = time.perf_counter()
    fill(store, size, embeddings)
    written = time.perf_counter() - start
    start = time.perf_counter()
    refresh(store, "auto", lambda text: print(f"  {text}", flush=True))
    built = time.perf_counter() - start
    start = time.perf_counter()
    nearest = Nearest.open(VectorStore.open(folder))
    opened = time.perf_counter() - start
    queries = embeddings.draw(QUERIES, 2**31)
    _, truth = search_exactly(store, queries, 10)
    _, found = nearest.search(queries, 10)
    recall = np.mean([len(set(t) & set(f)) / 10 for t, f in zip(truth, found, strict=True)])
    median, late = timed(lambda query: nearest.search(query, 10), queries)
    exact, _ = timed(lambda query: search_exactly(store, query, 10), queries[:20])
    bytes_ = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return [
        f"{size:,}",
        nearest.facts.kind,
        f"{size / written:,.0f}",
        f"{size / built:,.0f}",
        f"{opened:.2f}",
        f"{median:.2f}",
        f"{late:.2f}",
        f"{exact:.1f}",
        f"{recall:.3f}",
        f"{bytes_ / 1e6:,.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=384)
    options = parser.parse_args()
    columns = (
        "vectors", "kind", "written/s", "built/s", "open s",
        "query ms", "95th ms", "exact ms", "recall@10", "MB",
    )  # fmt: skip
    rows = []
    for size in options.sizes:
        print(f"{size:,} vectors of {options.width} numbers", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(size, options.width, Path(folder) / "index"))
    print(" | ".join(columns))
    for row in rows:
        print(" | ".join(row))


if __name__ == "__main__":
    main()
