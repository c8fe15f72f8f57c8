"""`mmft run --dry-run`: what would be done, without training or weights."""

from __future__ import annotations

from mmft_core.cli.terminal import echo, echo_data
from mmft_core.config.plan import Plan
from mmft_core.config.trees import dump_toml
from mmft_core.specs import resolve


def show_plan(plan: Plan) -> None:
    """Print the parts, their sizes, and the resolved configuration as TOML.

    Only comments are added to the TOML, so that the output is itself a configuration file.
    """
    counts = _counts(plan)
    echo("# The run that would be done; this output is a file for `mmft run -c`.")
    for component in plan.components:
        supplier = f"{component.distribution} {component.version}"
        echo(f"# {component.kind:9} {component.qualified:32} {supplier}")
    for modality, (total, trained) in counts.items():
        echo(
            f"# {modality} backbone: {total:,} parameters, {trained:,} of them trained "
            f"at the start ({trained / total:.2%}; tune = {plan.engine.tune})"
        )
    for line in _described(plan):
        echo(f"# {line}")
    missing = [c for c in plan.components if c.missing_extras()]
    for component in missing:
        extras = ",".join(component.missing_extras())
        echo(f"# {component.name} cannot run yet: pip install '{component.distribution}[{extras}]'")
    echo()
    echo_data(dump_toml(plan.tree()), nl=False)


def _described(plan: Plan) -> list[str]:
    """How the data were understood, where the data set can tell."""
    from mmft_core.run.build import dataset_context

    path = plan.dataset.spec.describe
    return resolve(path)(plan.dataset.options, dataset_context(plan)) if path else []


def _counts(plan: Plan) -> dict[str, tuple[int, int]]:
    """Count each backbone's parameters, on torch's meta device, which allocates none."""
    import torch

    from mmft_core.contracts import BackboneContext, DatasetInfo
    from mmft_core.engine import tuning
    from mmft_core.weights import WeightsRequest

    counts = {}
    for modality, part in plan.backbones.items():
        context = BackboneContext(
            weights=WeightsRequest("none"),
            info=DatasetInfo(name="dry run"),
            needs=plan.task.spec.needs_of(modality),
        )
        with torch.device("meta"):
            backbone = part.component.build(part.options, context)
        ways = tuning.tuned(backbone, modality, plan.engine.tuning)
        if any(way.tuning.mode == "lora" for way in ways):
            tuning.put_adapters(backbone, ways, plan.engine)
            ways = tuning.tuned(backbone, modality, plan.engine.tuning)
        tuning.apply_to(backbone, ways, epoch=0, training=True)
        counts[modality] = tuning.count_parameters(backbone)
    return counts
