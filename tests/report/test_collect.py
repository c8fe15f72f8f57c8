"""Gathering a report's content from the parts of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmft_core.contracts import Dataset, DatasetInfo, FinishedRun, Preview, Sample, Split
from mmft_core.engine.evaluation import Evaluation, Example
from mmft_core.errors import SampleError
from mmft_core.run.directory import RunDirectory
from mmft_report.callback import Report
from mmft_report.collect import collect_content
from tests.report.content import CONFIG, results


class Words(Split):
    """Words as samples; the last one has become unreadable."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        if index == 2:
            raise SampleError("words[2]", "it is gone")
        return Sample({"text": f"word {index}"}, self.target(index), self.sample_id(index))

    def target(self, index: int) -> str:
        return "ab"[index % 2]

    def sample_id(self, index: int) -> str:
        return f"words[{index}]"


PROCESSOR = SimpleNamespace(views=lambda raw: [Preview("text/plain", raw.encode())])
TASK: Any = SimpleNamespace(processors={"text": PROCESSOR})
PLAN: Any = SimpleNamespace(
    task=SimpleNamespace(component=SimpleNamespace(name="text-cls")),
    backbones={"text": SimpleNamespace(component=SimpleNamespace(name="bert"))},
    tree=lambda: CONFIG,
)
DATASET = Dataset(
    info=DatasetInfo(name="words", classes=("a", "b")), splits={"train": Words(), "test": Words()}
)


def evaluation(*indices: int) -> Evaluation:
    examples = [Example(1.0, f"words[{i}]", {"label": "a"}) for i in indices]
    return Evaluation(loss=0.5, values={"accuracy": 0.5}, examples={"Odd": examples}, samples=3)


def finished(
    directory: Path,
    judged: dict[str, Any],
    evaluations: dict[str, Evaluation],
    dataset: Dataset = DATASET,
) -> FinishedRun:
    return FinishedRun(
        directory=directory,
        results=judged,
        plan=PLAN,
        dataset=dataset,
        evaluations=evaluations,
        task=TASK,
    )


def test_examples_are_looked_up_in_the_split_that_was_judged(tmp_path: Path) -> None:
    RunDirectory(tmp_path).metrics.write_text(
        json.dumps({"step": 1, "loss": 1.0, "lr": 0.1}) + "\n"
    )
    judged = results({"test": {"loss": 0.5, "accuracy": 0.5}}, {"test": 3}, 2)
    content = collect_content(finished(tmp_path, judged, {"test": evaluation(1, 2)}))
    assert content.title == "text-cls · bert · words"
    assert [record["step"] for record in content.history] == [1]
    readable, gone = content.examples["Odd"]
    assert (readable.id, readable.target) == ("words[1]", "b")
    assert readable.previews["text"].data == b"word 1"
    assert (gone.id, dict(gone.previews)) == ("words[2]", {}), "it is shown without its input"


def test_report_and_card_are_written_without_metrics_or_splits(tmp_path: Path) -> None:
    judged = results({}, {}, 2)
    Report().on_finish(finished(tmp_path, judged, {}))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "report.html"]
