"""`mmft run --dry-run`: what would be done, without data or weights."""

from __future__ import annotations

import click

from mmft_core.config import EngineConfig, dump_toml
from mmft_core.plan import BackbonePart, Plan


def show_plan(plan: Plan) -> None:
    """Print the parts, their sizes, and the resolved configuration as TOML.

    Only comments are added to the TOML, so that the output is itself a configuration file.
    """
    needs = plan.task.spec.needs
    counts = {m: _parameters(p, plan.engine, needs) for m, p in plan.backbones.items()}
    click.echo("# The run that would be done; this output is a file for `mmft run -c`.")
    for component in plan.components:
        supplier = f"{component.distribution} {component.version}"
        click.echo(f"# {component.kind:9} {component.qualified:32} {supplier}")
    for modality, (total, trained) in counts.items():
        click.echo(
            f"# {modality} backbone: {total:,} parameters, {trained:,} of them trained "
            f"at the start ({trained / total:.2%}; tune = {plan.engine.tune})"
        )
    missing = [c for c in plan.components if c.missing_extras()]
    for component in missing:
        extras = ",".join(component.missing_extras())
        click.echo(
            f"# {component.name} cannot run yet: pip install '{component.distribution}[{extras}]'"
        )
    click.echo()
    click.echo(dump_toml(plan.tree()), nl=False)


def _parameters(
    part: BackbonePart, config: EngineConfig, needs: tuple[str, ...]
) -> tuple[int, int]:
    """Count parameters on torch's meta device, which allocates none."""
    import torch

    from mmft_core import lora, tuning
    from mmft_core.contracts import BackboneContext, DatasetInfo
    from mmft_core.weights import WeightsRequest

    how = tuning.Tuning.of(config)
    context = BackboneContext(
        weights=WeightsRequest("none"), info=DatasetInfo(name="dry run"), needs=needs
    )
    with torch.device("meta"):
        backbone = part.component.build(part.options, context)
    if how.mode == "lora":
        lora.inject(backbone, config.lora)
    tuning.apply_to(backbone, how, epoch=0, training=True)
    return tuning.count_parameters(backbone)
