"""The site: it builds without a warning, and its pages ask for nothing from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

_LOADED = re.compile(
    r"""<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|@import|url\(["']?(?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
class TestSite:
    def test_the_reference_is_of_the_code(self, site: Path) -> None:
        commands = (site / "reference" / "commands.html").read_text()
        assert "mmft data check" in commands and "--on-bad-sample" in commands
        assert "engine.gradient_checkpointing" in (site / "reference" / "settings.html").read_text()
        assert "resnet50" in (site / "reference" / "backbones.html").read_text()
        assert "register_backbone" in (site / "reference" / "hooks.html").read_text()
        contracts = (site / "reference" / "contracts.html").read_text()
        assert all(f"contracts.{name}" in contracts for name in ("Backbone", "Task", "Metric"))

    def test_nothing_is_loaded_from_outside(self, site: Path) -> None:
        files = [*site.rglob("*.html"), *site.rglob("*.css")]
        assert len(files) > 30
        for file in files:
            assert not _LOADED.search(file.read_text(encoding="utf-8")), file

    def test_only_pages_are_published(self, site: Path) -> None:
        assert not list(site.rglob("*.py"))
