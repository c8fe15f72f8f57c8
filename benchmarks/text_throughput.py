"""Tokens per second of fine-tuning MiniLM on texts of mixed length: mmft beside the Trainer.

    pip install -e '.[bench]'
    python benchmarks/text_throughput.py

The texts are documentation strings of installed packages. Every contender runs in a fresh
process, in turn over several rounds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rounds import report, run_rounds
from text_peers import CONTENDERS

from mmft_core import DatasetSpec
from mmft_core.contracts import DatasetContext
from mmft_core.discovery import discover


def make_table(path: Path, texts: int) -> Path:
    """Write documentation strings and the packages that they come from as JSONL."""
    component = discover().get(DatasetSpec, "text/docstrings")
    data = component.build(component.options_type()(), DatasetContext(target="class"))
    train = data.splits["train"]
    with path.open("w", encoding="utf-8") as file:
        for index in range(min(texts, len(train))):
            sample = train[index * len(train) // min(texts, len(train))]
            row = {"text": sample.inputs["text"], "label": sample.target}
            file.write(json.dumps(row) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        table = make_table(Path(temporary) / "texts.jsonl", given.texts)
        arguments = (table, given.batch_size, given.max_length)
        script = Path(__file__).with_name("text_peers.py")
        results = run_rounds(script, given.only, arguments, given.rounds, "tokens/s")
    report("MiniLM", results, "tokens/s", "HF Trainer")


if __name__ == "__main__":
    main()
