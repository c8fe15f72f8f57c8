"""`mmft run --dry-run`: shows what a run would do, without weights or training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mmft_core.cli.terminal import Styled, echo, echo_data, joined, styled
from mmft_core.config.plan import Plan
from mmft_core.config.trees import dump_toml
from mmft_core.distributed import comm
from mmft_core.engine.monitor import choose_monitor
from mmft_core.specs import resolve
from mmft_core.utils.numbers import counted, size

if TYPE_CHECKING:
    from mmft_core.contracts import Backbone, Dataset, LearnedPart, ShownToken, Task

_SAMPLES = 2
"""Samples whose learned tokens are shown."""
_LONGEST = 240
"""Characters shown of a run of tokens."""


def show_plan(plan: Plan) -> None:
    """Print the parts, their sizes, and the resolved configuration as TOML.

    Only comments are added to the TOML, so that the output is itself a configuration file.

    Raises:
        ConfigError: the monitored metric is not one of the run's.
    """
    choose_monitor(plan)  # Raises if it is wrong.
    backbones = _backbones(plan)
    learned, unfilled, dataset = _learned(plan, backbones)
    if unfilled is not None:
        backbones = {m: unfilled.backbone(m) for m in unfilled.backbones}
    echo("# The settings of the run; this output can be used as a file for `mmft run -c`.")
    for component in plan.components:
        supplier = f"{component.distribution} {component.version}"
        echo(f"# {component.kind:9} {component.qualified:32} {supplier}")
    for modality, (total, trained) in _counts(plan, backbones).items():
        echo(
            f"# {modality} backbone: {total:,} parameters, {trained:,} of them trained "
            f"at the start ({trained / max(1, total):.2%}; tune = {plan.engine.tune})"
        )
    for line in _described(plan):
        echo(f"# {line}")
    for line in learned:
        echo("# ", line)
    missing = [c for c in plan.components if c.missing_extras()]
    for component in missing:
        extras = ",".join(component.missing_extras())
        echo(f"# {component.name} cannot run yet: pip install '{component.distribution}[{extras}]'")
    echo()
    echo_data(dump_toml(plan.tree()), nl=False)
    # To stderr, because it differs a little each time.
    for line in _memory(plan, dataset):
        echo(f"# {line}", err=True)


def _described(plan: Plan) -> list[str]:
    """How the data were understood, where the data set can tell."""
    from mmft_core.run.build import dataset_context

    path = plan.dataset.spec.describe
    return resolve(path)(plan.dataset.options, dataset_context(plan)) if path else []


def _backbones(plan: Plan) -> dict[str, Backbone]:
    """The backbones with random weights, on torch's meta device, which allocates none."""
    import torch

    from mmft_core.contracts import Backbone, BackboneContext, DatasetInfo
    from mmft_core.run.build import build_component
    from mmft_core.weights import WeightsRequest

    with torch.device("meta"):
        return {
            modality: build_component(
                part.component,
                part.options,
                BackboneContext(
                    weights=WeightsRequest("none"),
                    info=DatasetInfo(name="dry run"),
                    needs=plan.task.spec.needs_of(modality),
                ),
                Backbone,
            )
            for modality, part in plan.backbones.items()
        }


def _counts(plan: Plan, backbones: Mapping[str, Backbone]) -> dict[str, tuple[int, int]]:
    """Count each backbone's parameters: all, and those that are trained at the start."""
    from mmft_core.engine import tuning

    counts = {}
    for modality, backbone in backbones.items():
        groups = tuning.tuned(backbone, modality, plan.engine.tuning)
        if any(group.tuning.mode == "lora" for group in groups):
            tuning.put_adapters(backbone, groups, plan.engine)
            groups = tuning.tuned(backbone, modality, plan.engine.tuning)
        tuning.apply_to(backbone, groups, epoch=0, training=True)
        counts[modality] = tuning.count_parameters(backbone)
    return counts


def _learned(
    plan: Plan, backbones: Mapping[str, Backbone]
) -> tuple[list[str], Task | None, Dataset | None]:
    """Which tokens of the first samples are learned, the task, and the data set.

    Empty if no processor can tell. Otherwise the data are read, and everything beside the weights.
    """
    from mmft_core.errors import SampleError, WeightsError
    from mmft_core.run.build import build_dataset, build_unfilled, showing_learned

    own = [p for b in backbones.values() for p in (b.processors or {"": b.processor}).values()]
    if not showing_learned(own):
        return [], None, None
    dataset = build_dataset(plan)
    try:
        task = build_unfilled(plan, dataset)
    except WeightsError as error:
        return [f"What is learned of a sample cannot be shown: {error.message}"], None, dataset
    lines: list[str] = []
    train = dataset.splits["train"]
    for index in range(min(_SAMPLES, len(train))):
        try:
            lines += _of_sample(train.sample_id(index), task, dict(train[index].inputs))
        except (SampleError, ValueError) as error:
            lines.append(f"{train.sample_id(index)} cannot be used: {error}")
    return lines, task, dataset


def _of_sample(sample_id: str, task: Task, inputs: Mapping[str, object]) -> Iterator[str]:
    """The tokens of a sample; those that are learned are marked with + and coloured."""
    from mmft_core.contracts import ShowingLearned

    for modality, processor in task.processors.items():
        if not isinstance(processor, ShowingLearned) or inputs.get(modality) is None:
            continue
        parts = processor.show_learned(inputs[modality])
        tokens = [token for part in parts for token in part.tokens]
        total = sum(token.count for token in tokens)
        learned = sum(token.count for token in tokens if token.learned)
        yield f"{sample_id}: {total:,} tokens, of which {learned:,} are learned (marked with +)"
        width = max((len(part.label) for part in parts), default=0)
        for part in parts:
            for marked, run in _runs(part):
                yield joined(f"  {'+' if marked else ' '} {part.label:{width}}  ", run)


def _memory(plan: Plan, dataset: Dataset | None) -> Iterator[str]:
    """The memory that the run will take, and whether the device has it.

    Args:
        dataset: if it is built already.
    """
    from mmft_core.errors import MmftError, first_line
    from mmft_core.run.expected_memory import expected_memory

    if comm.several() or not plan.engine.learns:
        return
    try:
        found = expected_memory(plan, dataset)
    except Exception as error:  # Such as a network whose steps depend on its values.
        why = error.message if isinstance(error, MmftError) else f"{first_line(error)}."
        yield f"The memory of the run cannot be estimated: {why}"
        return
    device = {"cpu": "this machine", "cuda": "the GPU"}.get(found.device, found.device)
    has = "" if found.available is None else f" of the {size(found.available)} on {device}"
    batch = counted(found.samples, "sample")
    yield f"Peak memory: about {size(found.total)}{has} (batch of {batch})"
    yield "  " + ", ".join(f"{name} {size(amount)}" for name, amount in found.parts.items())
    if not found.fits:
        yield f"This does not fit. {_savings(plan)}"


def _savings(plan: Plan) -> str:
    """Settings that save memory and are not given yet."""
    ways = ["a smaller --batch-size"] if plan.engine.batch_size > 1 else []
    if not plan.engine.gradient_checkpointing:
        ways.append("--set engine.gradient_checkpointing=true")
    if "lora" not in plan.engine.tune:
        ways.append("--tune lora")
    for modality, part in plan.backbones.items():
        if getattr(part.options, "load_bits", 4) is None:
            ways.append(f"--set backbone.{modality}.load_bits=4 (on a GPU)")
    if not ways:
        return "Choose a smaller backbone or smaller inputs."
    *others, last = ways
    return f"To save memory, use {', '.join(others)}{' or ' if others else ''}{last}."


def _runs(part: LearnedPart) -> Iterator[tuple[bool, Styled]]:
    """A part as runs of tokens, each run either learned or not. Learned tokens alternate between
    bold and regular, so that adjacent ones can be told apart."""
    from itertools import groupby

    for learned, group in groupby(part.tokens, key=lambda token: token.learned):
        shown: list[Styled] = []
        length = 0
        for number, token in enumerate(group):
            text = _text(token)
            length += len(text)
            if length > _LONGEST:
                shown.append(styled(" …"))
                break
            style = {"fg": "green", "bold": number % 2 == 0} if learned else {"dim": True}
            shown.append(styled(text, **style))
        yield learned, joined(*shown)


def _text(token: ShownToken) -> str:
    text = token.text.replace("\n", "↵")
    return f"{text} × {token.count}" if token.count > 1 else text
