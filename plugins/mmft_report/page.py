"""`report.html`: one page that holds all it needs and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import shlex
from pathlib import Path

from mmft_core.utils import write_text
from mmft_report import wording
from mmft_report.classes import class_table
from mmft_report.content import ReportContent
from mmft_report.curves import curves
from mmft_report.facts import facts, settings, tiles
from mmft_report.findings import banners, figures, headline
from mmft_report.gallery import gallery
from mmft_report.kinds import kind_table
from mmft_report.learned import learned
from mmft_report.matrices import heat_maps
from mmft_report.templating import asset, render


def write_report(run: Path, content: ReportContent) -> None:
    """Write the report of a run into its directory.

    Raises:
        StorageError: it cannot be written.
    """
    write_text(run / "report.html", render_report(run, content))


def render_report(run: Path, content: ReportContent) -> str:
    """The report as a string."""
    script = asset("report.js")
    html = render(
        "report.html.j2",
        script=script,
        policy=policy(script),
        content=content,
        data=content.section("dataset"),
        headline=headline(content),
        tiles=tiles(content),
        banners=banners(content),
        figures=figures(content.metrics),
        charts=curves(content.history),
        heat_maps=heat_maps(content.values, content.info.classes),
        class_table=class_table(content.values, content.info.classes, content.evaluated),
        gallery=gallery(content),
        kinds=kind_table(content),
        learned=learned(content),
        facts=facts(content),
        settings=settings(content.config),
        folder=folder(run),
    )
    return wording.encodable(html)


def folder(run: Path) -> str:
    """The run directory as a command names it; only its name if the path is absolute."""
    return shlex.quote(run.name if run.is_absolute() else str(run))


def policy(script: str, *, media: str = "data:", connect: str = "'none'") -> str:
    """Tell the browser to fetch nothing and to run this script only, whatever names contain.

    Args:
        media: where pictures and recordings may come from.
        connect: where the script may send requests.

    The digest is of the whole element, which begins with a line break.
    """
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src {media}; media-src {media}; connect-src {connect}; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )
