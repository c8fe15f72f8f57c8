"""`README.md`: a model card, with the front matter that model hubs read."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from jinja2 import Environment
from markupsafe import Markup

from mmft_core.utils import numbers, write_text
from mmft_report import licences, wording
from mmft_report.carbon import Carbon
from mmft_report.content import ReportContent
from mmft_report.facts import facts
from mmft_report.findings import banners, figures, headline
from mmft_report.page import folder
from mmft_report.templating import templates

_SPECIAL = re.compile(r"([\\`*\[\]{}|~#]|(?<!\w)_|_(?!\w))")


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What is said about a model that leaves the machine it was trained on.

    Attributes:
        licence: of the model, as the Hub writes it; empty where none was given.
        repo: its id on the Hub; empty if it has none.
        carbon: the emissions of its training.
        requires: the distributions that it needs.
        settings: the resolved configuration.
    """

    licence: str
    repo: str
    carbon: Carbon
    requires: Sequence[str]
    settings: str


def write_card(run: Path, content: ReportContent) -> None:
    """Write the model card of a run into its directory.

    Raises:
        StorageError: it cannot be written.
    """
    write_text(run / "README.md", render_card(run, content))


def render_card(run: Path, content: ReportContent, publication: Publication | None = None) -> str:
    """The model card as a string.

    Args:
        publication: for a model that is published; None for the card in a run's folder.
    """
    return render(
        "card.md.j2",
        front_matter=Markup(front_matter(content, publication)),
        publication=publication,
        content=content,
        headline=headline(content),
        banners=banners(content),
        figures=figures(content.metrics),
        facts=facts(content),
        command=content.results.get("command"),
        backbones=_named(content),
        folder=folder(run),
    )


def render(template: str, **values: Any) -> str:
    """Fill in a template of Markdown; what is put into it shows as it is."""
    return wording.encodable(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    environment = templates("mmft_report", finalize=markdown, keep_trailing_newline=True)
    environment.filters |= {"fenced": fenced, "duration": wording.duration}
    return environment


def _named(content: ReportContent) -> str:
    """The backbones as `mmft run` takes them."""
    parts = content.section("backbones")
    several = len(parts) > 1
    named = [f"{m}={part['name']}" if several else part["name"] for m, part in parts.items()]
    return "".join(f" --backbone {name}" for name in named)


def markdown(value: Any) -> Markup:
    """Plain text as Markdown that shows just that text, also in a table's cell."""
    if isinstance(value, Markup):
        return value
    text = html.escape(" ".join(str(value).split()), quote=False)
    return Markup(_SPECIAL.sub(r"\\\1", text))


def fenced(text: str, language: str = "sh") -> Markup:
    """A code block, fenced so that the text cannot end it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{text}\n{fence}")


def front_matter(content: ReportContent, publication: Publication | None = None) -> str:
    """The card's metadata as YAML: what Hugging Face's hub understands, and the data's licence."""
    backbones = content.section("backbones")
    weights = [part["weights"] for part in backbones.values()]
    task = str(content.results.get("task", "unknown"))
    metadata: dict[str, Any] = {"library_name": "mmft"}
    metadata |= licences.metadata(publication.licence if publication else "")
    metadata["data_license"] = content.info.licence
    if content.results.get("pipeline"):
        metadata["pipeline_tag"] = content.results["pipeline"]
    bases = [part["hub_id"] for part in weights if part.get("hub_id")]
    if bases:
        metadata |= {"base_model": bases, "base_model_relation": "finetune"}
    if content.info.hub_id:
        metadata["datasets"] = [content.info.hub_id]
    random = any(part["source"] == "random" for part in weights) and content.results.get("steps")
    tags = ["mmft", task, *backbones, *(["trained-from-scratch"] if random else [])]
    metadata["tags"] = list(dict.fromkeys(tags))
    values = {k: v for k, v in content.values.items() if numbers.is_finite(v)}
    if values:
        families = dict.fromkeys(name.partition("/")[0] for name in values)
        metadata["metrics"] = [name for name in families if name != "loss"]
        metadata["model-index"] = [_evaluated(content, task, values)]
    if publication:
        kind = "pre-training" if random else "fine-tuning"
        metadata["co2_eq_emissions"] = _emissions(publication.carbon, kind)
    text: str = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return wording.encodable(text)


def _emissions(carbon: Carbon, kind: str) -> dict[str, Any]:
    source = f"an estimate from the training's time, not measured: {carbon.assumptions}"
    return {"emissions": float(f"{carbon.grams:.3g}"), "source": source, "training_type": kind}


def _evaluated(content: ReportContent, task: str, values: dict[str, Any]) -> dict[str, Any]:
    """The figures, as hubs list them beside a model."""
    name = content.info.name
    data = {"name": name, "type": content.info.hub_id or name, "split": content.split}
    metrics = [{"type": k, "name": k, "value": round(float(v), 6)} for k, v in values.items()]
    return {
        "name": content.title,
        "results": [
            {
                "task": {"type": content.results.get("pipeline") or task, "name": task},
                "dataset": data,
                "metrics": metrics,
            }
        ],
    }
