"""Building what a plan names."""

from __future__ import annotations

import pytest
import torch

from mmft_core import Component, MetricSpec
from mmft_core.config.plan import PlanPart
from mmft_core.config.resolving import make_plan
from mmft_core.contracts import DatasetInfo
from mmft_core.discovery import discover
from mmft_core.errors import PluginError
from mmft_core.run.build import build_dataset, build_metrics, build_task

SOURCE = """
    from dataclasses import dataclass

    from mmft_core.contracts import Metric

    @dataclass(frozen=True, kw_only=True)
    class Options:
        bins: int = 15

    class Count(Metric):
        def __init__(self, options, context):
            self.options, self.classes = options, context.info.classes

        update = compute = state = merge = reset = lambda self, *_: None

    def build_wrong(options, context):
        return 3
"""


def metric(build: str, options_path: str | None = None, **given: int) -> PlanPart[MetricSpec]:
    spec = MetricSpec(name="count", summary="", measures="x", build=build, options=options_path)
    component = Component(spec=spec, plugin="acme", distribution="acme-dist", version="1.0")
    return PlanPart(component=component, options=component.options_type()(**given))


def test_a_metric_is_built_with_its_options(site) -> None:
    site.install("acme-dist", acme_parts=SOURCE)
    info = DatasetInfo(name="d", classes=("a", "b"))
    chosen = (metric("acme_parts:Count", "acme_parts:Options", bins=20),)
    built = build_metrics(chosen, info)["count"]
    assert built.options.bins == 20
    assert built.classes == ("a", "b")


def test_what_builds_something_else_is_named_with_its_distribution(site) -> None:
    site.install("acme-dist", acme_parts=SOURCE)
    chosen = (metric("acme_parts:build_wrong"),)
    with pytest.raises(
        PluginError, match=r"'acme/count' of acme-dist 1.0 built an int, not a Metric"
    ):
        build_metrics(chosen, DatasetInfo(name="d"))


_DIGITS = {
    "task": "image-cls",
    "backbone": {"image": {"name": "resnet18", "weights": "none", "image_size": 32}},
    "dataset": "digits",
}


@pytest.mark.parametrize(("tune", "told"), [("head", True), ("full", False)])
def test_random_weights_that_are_never_trained_are_told_of(tune: str, told: bool) -> None:
    plan = make_plan({**_DIGITS, "engine": {"tune": tune}}, discover())
    said: list[str] = []
    build_task(plan, build_dataset(plan), said.append)
    assert ["random weights stay as they are" in text for text in said] == [True] * told


def test_top_5_of_few_classes_is_no_figure() -> None:
    few = make_plan({**_DIGITS, "metrics": ["top5-accuracy"]}, discover()).metrics
    built = build_metrics(few, DatasetInfo(name="d", classes=tuple("abc")))["top5-accuracy"]
    assert built.compute() == {}
    many = build_metrics(few, DatasetInfo(name="d", classes=tuple("abcdef")))["top5-accuracy"]
    many.update(torch.eye(6), torch.arange(6))
    assert many.compute() == {"": 1.0}
