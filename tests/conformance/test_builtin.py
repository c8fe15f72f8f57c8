"""Every component that mmft brings conforms to the contract.

Networks of one family that differ only in their published size are built by the same code. One of
them passes all checks; of the others those are left out that look at how its layers compute, how it
is saved, and how its inputs are prepared. Tracing takes longest: what other tests export and
compare with its run, in batches of other sizes, is not traced here once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mmft_core import BackboneSpec, discover
from mmft_testing import plugin_checks, processors
from tests.export.runs import RUNS
from tests.vision.narrow import narrow_models

LARGE = (
    "convnext-base",
    "convnext-tiny",
    "efficientnet-v2-s",
    "resnet50",
    "resnet101",
    "resnet152",
    "swin-t",
    "vit-b-16",
)

SMALL = {
    "backbone.size": "tiny",
    "backbone.vocabulary": 500,
    "backbone.max_length": 48,
    "task.max_new_tokens": 12,  # Random weights write as much as they may.
    "backbone.padding": "batch",  # Whisper's windows are of 30 s, the commands of about one.
}

OTHER_SIZES = {
    "resnet34": "resnet18",
    "resnet101": "resnet50",
    "resnet152": "resnet50",
    "convnext-base": "convnext-tiny",
    "bert-large": "bert-base",
    "minilm": "bert-base",
    "text-encoder": "bert-base",
    "roberta-large": "roberta-base",
    "gpt2-medium": "gpt2",
    "distilgpt2": "gpt2",
    "bart-large": "bart-base",
    "t5-base": "t5-small",
    "seq2seq-lm": "t5-small",
    "whisper": "whisper-tiny",
    "whisper-base": "whisper-tiny",
    "whisper-small": "whisper-tiny",
    "whisper-medium": "whisper-tiny",
    "whisper-large-v3": "whisper-tiny",
    "whisper-large-v3-turbo": "whisper-tiny",
    "whisper-base.en": "whisper-tiny.en",
    "wav2vec2-large": "wav2vec2-base",
    "ctc": "wav2vec2-base",
    "ssdlite320-mobilenet-v3-large": "retinanet-tiny",
    "retinanet-resnet50-fpn": "retinanet-tiny",
    "fcos-resnet50-fpn": "retinanet-tiny",
    "fasterrcnn-resnet50-fpn": "retinanet-tiny",
    "rt-detr-r50": "rt-detr-r18",
    "hub-detector": "rt-detr-r18",
}
"""Backbones, each with the one of its family that passes all checks."""

COMPUTING = {
    "samples_do_not_mix",
    "gradients_reach_every_layer",
    "roles_name_layers_that_are_called",
    "checkpointing_changes_nothing",
    "same_seed_same_weights",
    "token_losses_have_their_shape",
    "token_losses_do_not_mix",
    "tokens_do_not_see_those_behind_them",
    "losses_depend_on_the_input",
    "writes_one_text_for_each_input",
    "writes_what_it_has_learned",
    "graphs_are_of_any_batch",
}
SAVING = {"weights_survive_saving", "builds_without_weights"}
PREPARING = {check.__name__ for check in processors.CHECKS}
LEFT_OUT = COMPUTING | SAVING | PREPARING
"""The checks that are left out for those."""

EXPORTED = {name.partition("/")[0] for name in RUNS} | {"gpt2", "t5-small", "whisper-tiny"}
"""Tasks that `tests/export/test_tasks.py` exports, and backbones that write in its runs."""

IN_TRAINING = {"rt-detr-r18", "d-fine-l"}
"""Detectors some of whose parts only its loss reaches; tests/detection looks at their gradients."""


def elsewhere(check: Any) -> bool:
    """Whether `tests/chat/test_conformance.py` runs the check, on longer inputs."""
    return bool(check.id.startswith("chat"))


def repeated(check: Any) -> bool:
    """Whether a check would try the layers or the processor of a family, or a graph, once more."""
    component, _, name = check.id.rpartition("-")
    component = component.partition("/")[2]
    if component in IN_TRAINING and name == "gradients_reach_every_layer":
        return True
    if component in EXPORTED and name == "graphs_are_of_any_batch":
        return True
    return component in OTHER_SIZES and name in LEFT_OUT


CHECKS = plugin_checks(
    "mmft",
    settings=SMALL,
    slow=LARGE,
    prefer=["resnet18", "distilbert", "distilgpt2", "whisper-tiny", "retinanet-tiny"],
)
WINDOWS = [
    pytest.param(*check.values, id=f"{check.id}-in-windows", marks=check.marks)
    for check in plugin_checks("mmft", settings=SMALL | {"backbone.padding": "window"})
    if check.id.startswith("audio/whisper-tiny-")
]


@pytest.fixture(scope="module")
def narrow_large() -> Iterator[None]:
    """The large networks have few channels and blocks: the same code of mmft runs on them."""
    with narrow_models([name.replace("-", "_") for name in LARGE]):
        yield


@pytest.mark.usefixtures("two_layers", "narrow_large")
@pytest.mark.parametrize(
    "check", [*(c for c in CHECKS if not (repeated(c) or elsewhere(c))), *WINDOWS]
)
def test_conformance(check) -> None:
    check()


def test_what_is_left_out_is_checked_for_one_of_the_family() -> None:
    own = {c.name: c for c in discover().of(BackboneSpec) if c.distribution == "mmft"}
    checks = {check.id for check in CHECKS}
    for name, whole in OTHER_SIZES.items():
        assert whole not in OTHER_SIZES
        mine, other = own[name], own[whole]
        module, provides = mine.spec.build.partition(":")[0], mine.spec.provides
        assert (module, provides) == (other.spec.build.partition(":")[0], other.spec.provides)
    assert {id.rpartition("-")[2] for id in checks} >= LEFT_OUT
