"""What `mmft data check` tells in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmft_core.cli import echo, styled

if TYPE_CHECKING:
    from mmft_data_check.findings import Report

_NAMED = 5
"""Findings of a kind that are named."""


def show(report: Report) -> None:
    """Show a report."""
    from mmft_data_check.findings import heading

    for name, facts in report.splits.items():
        classes = f"{len(facts.classes):,} classes  " if facts.classes else ""
        echo(f"{name:6} {facts.samples:>9,} samples  {classes}{facts.described()}")
        if facts.learned:
            echo(f"{'':6} {facts.tokens()}")
    for note in report.notes:
        echo(note)
    for warning in report.warnings:
        echo(styled(f"! {warning}", bold=True))
    for kind, findings in report.by_kind().items():
        echo()
        echo(styled(f"{len(findings):,} {heading(kind)} ({kind})", bold=True))
        for finding in findings[:_NAMED]:
            echo(f"  {finding.split}  {finding.id} {finding.text}")
        if len(findings) > _NAMED:
            echo(f"  and {len(findings) - _NAMED:,} more")
    count, doubts = len(report.findings), len(report.warnings)
    found = [(count, "finding"), (doubts, "warning")]
    told = [f"{number:,} {what}{'s' if number > 1 else ''}" for number, what in found if number]
    what = " and ".join(told) or "nothing is wrong"
    echo()
    echo(f"{what}, after {report.seconds:.1f} s")
