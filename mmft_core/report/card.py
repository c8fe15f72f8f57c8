"""`README.md`: a model card, with the front matter that model hubs read."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmft_core.files import write_text
from mmft_core.report import wording
from mmft_core.report.content import ReportContent
from mmft_core.report.facts import facts
from mmft_core.report.findings import banners, figures, headline
from mmft_core.report.page import folder

_SPECIAL = re.compile(r"([\\`*\[\]{}|~#]|(?<!\w)_|_(?!\w))")


def write_card(run: Path, content: ReportContent) -> None:
    """Write the model card of a run into its directory.

    Raises:
        StorageError: it cannot be written.
    """
    write_text(run / "README.md", render_card(run, content))


def render_card(run: Path, content: ReportContent) -> str:
    """The model card as a string."""
    return render(
        "card.md.j2",
        front_matter=Markup(front_matter(content)),
        content=content,
        headline=headline(content),
        banners=banners(content),
        figures=figures(content.metrics),
        facts=facts(content),
        command=content.results.get("command"),
        folder=folder(run),
    )


def render(template: str, **values: Any) -> str:
    """Fill in a template of Markdown; what is put into it shows as it is."""
    environment = Environment(
        loader=PackageLoader("mmft_core.report"),
        finalize=markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["fenced"] = fenced
    return wording.encodable(environment.get_template(template).render(**values))


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


def front_matter(content: ReportContent) -> str:
    """The card's metadata as YAML: what Hugging Face's hub understands, and the data's licence."""
    backbones = content.section("backbones")
    sources = [(part["name"], part["weights"]["source"]) for part in backbones.values()]
    published = [name for name, source in sources if source == "published"]
    task = str(content.results.get("task", "unknown"))
    metadata: dict[str, Any] = {"library_name": "mmft", "license": "unknown"}
    metadata["data_license"] = content.info.licence
    if published:
        metadata["base_model"] = published
    random = any(source == "random" for _, source in sources)
    tags = ["mmft", task, *backbones, *(["trained-from-scratch"] if random else [])]
    metadata["tags"] = list(dict.fromkeys(tags))
    values = {k: v for k, v in content.values.items() if wording.is_finite(v)}
    if values:
        families = dict.fromkeys(name.partition("/")[0] for name in values)
        metadata["metrics"] = [name for name in families if name != "loss"]
        metadata["model-index"] = [_evaluated(content, task, values)]
    text: str = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return wording.encodable(text)


def _evaluated(content: ReportContent, task: str, values: dict[str, Any]) -> dict[str, Any]:
    """The figures, as hubs list them beside a model."""
    name = content.info.name
    metrics = [{"type": k, "name": k, "value": round(float(v), 6)} for k, v in values.items()]
    return {
        "name": content.title,
        "results": [
            {
                "task": {"type": task},
                "dataset": {"name": name, "type": name, "split": content.split},
                "metrics": metrics,
            }
        ],
    }
