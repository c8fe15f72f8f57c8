"""The particulars of a run, as tables of names and values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmft_core.cli import monitored
from mmft_core.config import flatten
from mmft_core.utils import counted, numbers
from mmft_report import wording
from mmft_report.content import ReportContent

Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Facts:
    """A titled table of names and values."""

    title: str
    rows: Rows


def tiles(content: ReportContent) -> Rows:
    """The few numbers beside the headline."""
    timings, monitor = content.section("timings"), content.section("monitor")
    backbones = content.section("backbones").values()
    rows = []
    if numbers.is_number(monitor.get("best")):
        rows.append((f"best {_monitored(content)}", numbers.readable(monitor["best"])))
    if numbers.is_number(content.values.get("loss")) and monitor.get("name") != "loss":
        rows.append((f"loss on {content.split}", numbers.readable(content.values["loss"])))
    if timings:
        rows.append(("training time", wording.duration(timings.get("training_seconds"))))
        rows.append(("samples per second", wording.count(timings.get("samples_per_second"))))
        rows.append(("peak memory", f"{wording.count(timings.get('peak_memory_mb'))} MB"))
    if backbones:
        total = sum(part.get("parameters", 0) for part in backbones)
        rows.append(("backbone parameters", numbers.parameters(total)))
    return rows


def _monitored(content: ReportContent) -> str:
    """The metric that chose the model, and on what."""
    name: str = content.section("monitor").get("name", "")
    told = monitored(content.results) if "dataset" in content.results else name
    return f"{name} on val" if told == name else told


def facts(content: ReportContent) -> list[Facts]:
    """Model, data, training, environment; those of them that are known."""
    found = (_model(content), _data(content), _training(content), _environment(content))
    return [table for table in found if table.rows]


def settings(config: Mapping[str, Any]) -> list[Facts]:
    """The resolved configuration: a table for each of its sections."""
    plain = {k: v for k, v in config.items() if not isinstance(v, Mapping)}
    found = [Facts("general", _setting_rows(plain))] if plain else []
    for name, table in config.items():
        if isinstance(table, Mapping):
            found.append(Facts(name, _setting_rows(flatten(table))))
    return found


def _setting_rows(table: Mapping[str, Any]) -> Rows:
    return [(name, _setting(value)) for name, value in table.items()]


def _setting(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in value) or "none"
    return json.dumps(value) if value == "" else str(value)


def _model(content: ReportContent) -> Facts:
    rows: Rows = [("task", str(content.results["task"]))] if "task" in content.results else []
    for modality, part in content.section("backbones").items():
        weights = part.get("weights", {})
        origin = ": ".join(t for t in (weights.get("source"), weights.get("detail")) if t)
        rows.append((f"{modality} backbone", str(part.get("name"))))
        rows.append(("its weights", origin or "unknown"))
        size, trained = part.get("parameters"), part.get("trained")
        share = "all" if size == trained else _part(trained, size)
        rows.append(("its parameters", f"{wording.count(size)}, {share} trained"))
    whole = content.section("parameters")
    if whole:
        trained = _part(whole.get("trained"), whole.get("total"))
        rows.append(("all parameters", f"{wording.count(whole.get('total'))}, {trained} trained"))
    return Facts("Model", rows)


def _part(number: Any, whole: Any) -> str:
    """A number, and which share of the whole it is."""
    if not (numbers.is_number(number) and numbers.is_number(whole) and whole):
        return wording.count(number)
    return f"{wording.count(number)} ({number / whole:.2%})"


def _data(content: ReportContent) -> Facts:
    data, info = content.section("dataset"), content.info
    rows: Rows = [("name", info.name), ("source", info.source), ("licence", info.licence)]
    rows.append(("samples", wording.sizes(data.get("samples"))))
    rows.append(("classes", wording.count(len(info.classes)) if info.classes else ""))
    rows += [("note", note) for note in info.notes]
    rows += [("warning", warning) for warning in info.warnings]
    return Facts("Data", [(name, value) for name, value in rows if value])


def _training(content: ReportContent) -> Facts:
    timings, monitor = content.section("timings"), content.section("monitor")
    rows: Rows = []
    if content.results.get("finished"):
        rows.append(("finished", str(content.results["finished"])))
    if "ending" in content.results:
        steps = content.results.get("steps")
        after = f" after {counted(steps, 'step')}" if isinstance(steps, int) else ""
        ending = {"early": "stopped early"}.get(content.results["ending"])
        rows.append(("ending", (ending or str(content.results["ending"])) + after))
    if monitor.get("step"):
        best = numbers.readable(monitor.get("best"))
        kept = f"step {monitor['step']:,}, by {_monitored(content)} ({best})"
        rows.append(("model kept", kept))
    if timings:
        rows += [
            ("training", wording.duration(timings.get("training_seconds"))),
            ("of it waiting for data", wording.duration(timings.get("waiting_for_data_seconds"))),
            ("final evaluation", wording.duration(timings.get("evaluation_seconds"))),
            ("whole run", wording.duration(timings.get("total_seconds"))),
            ("speed", f"{wording.count(timings.get('samples_per_second'))} samples per second"),
            ("peak memory", f"{wording.count(timings.get('peak_memory_mb'))} MB"),
        ]
    return Facts("Training", rows)


def _environment(content: ReportContent) -> Facts:
    environment = content.section("environment")
    names = ("device", "precision", "inference_precision", "platform", "python")
    rows: Rows = [
        (name.replace("_", " "), str(environment[name])) for name in names if name in environment
    ]
    rows += [(name, str(v)) for name, v in (environment.get("versions") or {}).items()]
    return Facts("Environment", rows)
