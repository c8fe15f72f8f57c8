"""Write a table of 10,072 sentences from film reviews, with their sentiment by 20 people's ratings.

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python benchmarks/sentences.py vaderSentiment-3.3.2.tar.gz sentences.csv

The sentences are of Pang and Lee (2005, "Seeing Stars"), their ratings from -4 to 4 of Hutto and
Gilbert (2014, "VADER"), who give both away with their package's sources. Those rated nearer to 0
than half a point have no sentiment to tell and are left out.
"""

from __future__ import annotations

import csv
import io
import sys
import tarfile
from pathlib import Path

OUTER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
INNER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
LEAST = 0.5


def main(sources: Path, table: Path) -> None:
    lines = _member(io.BytesIO(_member(sources.open("rb"), OUTER)), INNER).decode("utf-8-sig")
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("text", "label"))
        for line in lines.splitlines():
            _, rating, text = line.split("\t", 2)
            if abs(float(rating)) >= LEAST:
                writer.writerow((text.strip(), "positive" if float(rating) > 0 else "negative"))


def _member(archive: io.IOBase, name: str) -> bytes:
    with tarfile.open(fileobj=archive) as files:  # type: ignore[call-overload]
        found = files.extractfile(name)
        if found is None:
            raise SystemExit(f"The archive has no {name}.")
        return bytes(found.read())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
