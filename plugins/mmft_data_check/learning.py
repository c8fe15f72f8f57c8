"""How many tokens of each sample a model reads and learns, and which samples it cannot take.

Only for backbones whose processors tell (`mmft_core.contracts.ShowingLearned`). No weights are
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmft_core.config import Plan
from mmft_core.contracts import Dataset, LearnedPart, ShowingLearned
from mmft_core.data import together
from mmft_core.errors import IncompatibleError, SampleError
from mmft_core.loading import UNDECODABLE
from mmft_core.run import build_unfilled
from mmft_data_check.findings import Finding, Tokens


def look_at_learning(
    dataset: Dataset, plan: Plan, on_progress: Callable[[int, int], None]
) -> tuple[dict[str, list[Tokens]], list[Finding]]:
    """Prepare every sample as the plan's task does.

    Returns:
        by split the tokens of each sample that can be learned, and what is wrong with others.

    Raises:
        IncompatibleError: no processor of the task tells.
        WeightsError: files beside the weights, such as a tokenizer, are not available.
    """
    train = dataset.splits.get("train") or together(dataset.splits.values())
    task = build_unfilled(plan, replace(dataset, splits={**dataset.splits, "train": train}))
    telling = {m: p for m, p in task.processors.items() if isinstance(p, ShowingLearned)}
    if not telling:
        names = " + ".join(part.component.name for part in plan.backbones.values())
        raise IncompatibleError(
            f"{names} does not tell which tokens of a sample are learned.",
            hint="Leave out --backbone.",
        )
    counts: dict[str, list[Tokens]] = {}
    findings: list[Finding] = []
    done, total = 0, sum(map(len, dataset.splits.values()))
    for name, split in dataset.splits.items():
        counts[name] = []
        for index in range(len(split)):
            done += 1
            on_progress(done, total)
            sample_id = split.sample_id(index)
            try:
                inputs = split[index].inputs
            except SampleError:
                continue  # Reported by the check without a model.
            try:
                held = {m: p for m, p in telling.items() if inputs.get(m) is not None}
                counts[name].append(_counted(sample_id, held, inputs))
                told = [task.processors[m].inspect(inputs[m], train=True) for m in held]
            except (SampleError, *UNDECODABLE) as error:
                reason = error.reason if isinstance(error, SampleError) else str(error)
                findings.append(_finding("unlearnable", name, index, sample_id, reason))
            else:
                for text in filter(None, told):
                    findings.append(_finding("shortened", name, index, sample_id, text))
    return counts, findings


def _counted(
    sample_id: str, telling: Mapping[str, ShowingLearned], inputs: Mapping[str, Any]
) -> Tokens:
    parts: Sequence[LearnedPart] = [
        part for m, processor in telling.items() for part in processor.show_learned(inputs[m])
    ]
    tokens = [token for part in parts for token in part.tokens]
    learned = sum(token.count for token in tokens if token.learned)
    return Tokens(id=sample_id, tokens=sum(token.count for token in tokens), learned=learned)


def _finding(kind: str, split: str, index: int, sample_id: str, text: str) -> Finding:
    said = text.removeprefix("it ")
    if said == text:
        said = f"cannot be learned: {text}" if kind == "unlearnable" else f"is a {text}"
    return Finding(kind=kind, split=split, index=index, id=sample_id, text=said)
