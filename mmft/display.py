"""What is seen of a training: HTML in a notebook, the terminal's display elsewhere."""

from __future__ import annotations

import contextlib
import html
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mmft_core.cli import Display, console, data_line, make_display
from mmft_core.contracts import Dataset, Evaluated, TrainStart, TrainStep

_SECONDS = 0.3
"""Between two updates of a notebook's cell."""

_COLUMNS = 6
"""Metrics of an evaluation that are shown while training."""


@contextlib.contextmanager
def quiet_or_shown(progress: bool) -> Iterator[Display]:
    """A display for the time of a job, or what shows nothing but remarks."""
    display: Display
    if not progress:
        display = _Remarks()
    elif in_notebook():
        display = NotebookDisplay()
    else:
        display = make_display(console(stderr=True))
    try:
        yield display
    finally:
        display.close()


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class _Remarks(Display):
    """Shows nothing but what a user must not miss."""

    def on_message(self, text: str) -> None:
        print(f"! {text}", file=sys.stderr)

    def on_info(self, text: str) -> None:
        pass


class NotebookDisplay(Display):
    """A progress bar above a table of evaluations, in the output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = 0.0
        self._lines: list[str] = []
        self._bar, self._total = "", 0
        self._evaluations: list[tuple[str, int, bool, Mapping[str, float | None]]] = []

    def on_data(self, dataset: Dataset) -> None:
        self._lines.append(data_line(dataset))
        self._draw()

    def on_train_start(self, event: TrainStart) -> None:
        self._total = event.total_steps
        if event.total_steps:
            self._bar = _bar("training", event.step, event.total_steps, "")
        self._draw()

    def on_step(self, event: TrainStep) -> None:
        rate = event.samples / event.seconds if event.seconds else 0.0
        note = f"loss {event.loss:.4f}, {rate:,.0f} samples/s"
        self._bar = _bar("training", event.step, self._total, note)
        self._draw(soon=event.step < self._total)

    def on_evaluation_progress(self, split: str, done: int, total: int) -> None:
        self._bar = _bar(split, done, total, "")
        self._draw(soon=done < total)

    def on_evaluation(self, event: Evaluated) -> None:
        row = (event.split, event.step, event.best, event.evaluation.scalars)
        self._evaluations.append(row)
        self._draw()

    def on_message(self, text: str) -> None:
        self._lines.append(f"! {text}")
        self._draw()

    def on_info(self, text: str) -> None:
        self._lines.append(text)
        self._draw()

    def close(self) -> None:
        if self._handle is not None:
            self._draw()

    def _draw(self, *, soon: bool = False) -> None:
        """Show the present state.

        Args:
            soon: not more often than is good for a browser.
        """
        from IPython import display

        now = time.monotonic()
        if soon and now - self._drawn < _SECONDS:
            return
        self._drawn = now
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self._lines)
        page = display.HTML(  # type: ignore[no-untyped-call]
            f"<div>{lines}{self._bar}{self._table()}</div>"
        )
        if self._handle is None:
            self._handle = display.display(page, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(page)

    def _table(self) -> str:
        if not self._evaluations:
            return ""
        names = list(dict.fromkeys(n for *_, metrics in self._evaluations for n in metrics))
        names = names[:_COLUMNS]
        head = ["split", "step", *names, ""]
        rows = [
            [split, str(step), *(_number(metrics.get(n)) for n in names), "best" if best else ""]
            for split, step, best, metrics in self._evaluations
        ]
        return table(head, rows)


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """An HTML table of single metrics: a row for each, a column for each split."""
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    rows = [
        [name, *(_number(values.get(name)) for values in metrics.values())]
        for name in names
        if not any(isinstance(values.get(name), list) for values in metrics.values())
    ]
    return table(["metric", *metrics], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """An HTML table of text."""
    titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _bar(label: str, done: int, total: int, note: str) -> str:
    return (
        f'<div>{html.escape(label)} <progress value="{done}" max="{max(1, total)}"></progress> '
        f"{done:,} of {total:,} {html.escape(note)}</div>"
    )


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "–"
