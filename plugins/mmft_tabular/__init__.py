"""Columns of numbers and categories: networks for what stands in a table beside files and texts."""

from mmft_core import BackboneSpec, hookimpl

_NETWORKS = {
    "tabular-mlp": ("A multi-layer perceptron on columns", ("pooled",)),
    "tabular-transformer": (
        "Columns as tokens of a transformer (Gorishniy et al., 2021)",
        ("pooled", "sequence"),
    ),
}


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name=name,
            summary=summary,
            modality="tabular",
            provides=provides,
            build=f"mmft_tabular.backbones:build_{name.replace('-', '_')}",
            options="mmft_tabular.options:TabularOptions",
            from_scratch={"engine.lr": 1e-3},
        )
        for name, (summary, provides) in _NETWORKS.items()
    ]
