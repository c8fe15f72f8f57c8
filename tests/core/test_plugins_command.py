"""`mmft plugins`: what it lists, on a terminal, in a pipe and as JSON; and that it is light."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import astuple

import pytest
from rich.console import Console

from mmft_core import BackboneSpec, discover
from mmft_core.cli.plugin_tables import print_tables
from mmft_core.utils import numbers

MIXED = """
    from mmft_core import BackboneSpec, DatasetSpec, MetricSpec, TaskSpec, hookimpl

    common = {"build": "acme.heavy:build"}

    @hookimpl
    def register_backbone():
        return [
            BackboneSpec(
                name="acme-wav2vec2-base-960h",
                summary="[bold]bracketed[/] and a summary that is" + " so long" * 20,
                modality="audio",
                extras=("audio",),
                defaults={"engine.lr": 1e-4},
                **common,
            ),
            BackboneSpec(name="resnet50", summary="Another one", modality="image", **common),
        ]

    @hookimpl
    def register_dataset():
        return [
            DatasetSpec(
                name="acme-data",
                summary="Some data",
                modalities=("image", "audio"),
                targets=("class",),
                opens=("/", ".csv"),
                options="mmft_vision.options:ImageTableOptions",
                **common,
            )
        ]

    @hookimpl
    def register_task():
        return [
            TaskSpec(
                name="acme-data",
                summary="A task that is named like a dataset",
                modalities=("*",),
                target="class",
                predicts="spans",
                **common,
            )
        ]

    @hookimpl
    def register_metric():
        return [MetricSpec(name="acme-metric", summary="Of spans", measures="spans", **common)]
"""
METADATA = 'Provides-Extra: audio\nRequires-Dist: no-such-package; extra == "audio"\n'
LONG = "acme-wav2vec2-base-960h"


@pytest.fixture
def acme(site):
    """A plugin of all kinds, and two broken ones."""
    site.install("acme-dist", version="1.2.3", acme=MIXED, metadata=METADATA)
    site.install("bad-dist", version="0.1", bad="import no_such_module", worse="1 / 0")
    return site


def as_json(mmft, *arguments: str) -> dict:
    finished = mmft("plugins", *arguments)
    assert (finished.code, finished.err) == (0, "")
    return json.loads(finished.out)


def names(document: dict) -> set[str]:
    return {c["name"] for c in document["components"]}


class TestList:
    def test_a_pipe_gets_whole_lines_with_one_component_each(self, acme, mmft) -> None:
        code, out, _ = astuple(mmft("plugins"))
        assert code == 0
        lines = out.splitlines()
        assert lines[0].split()[:3] == ["KIND", "NAME", "MODALITY"]
        rows = {tuple(line.split()[:2]): line.split(maxsplit=7)[2:] for line in lines[1:]}
        assert rows["backbone", LONG][:5] == ["audio", "acme", "acme-dist", "1.2.3", "needs:audio"]
        assert rows["backbone", LONG][5].endswith("so long so long")
        assert rows["dataset", "acme-data"][0] == "image,audio"
        assert rows["metric", "accuracy"][:2] == ["-", "classification"]
        assert rows["dataset", "digits"][4] == "available"
        broken = [line for line in lines if line.startswith("BROKEN")]
        assert "bad (bad-dist 0.1): cannot be imported: ModuleNotFoundError" in broken[0]
        assert "ZeroDivisionError" in broken[1]

    @pytest.mark.parametrize("width", [64, 80, 120, 1000])
    def test_a_terminal_of_any_width_shows_every_component(self, acme, width: int) -> None:
        stream = io.StringIO()
        print_tables(acme.discover(), Console(file=stream, width=width, force_terminal=True))
        plain = Console(file=(out := io.StringIO()), width=width)
        print_tables(acme.discover(), plain)
        shown = out.getvalue()
        assert max(map(len, shown.splitlines())) <= width
        (line,) = (line for line in shown.splitlines() if LONG in line)
        assert "needs [audio]" in line and line.rstrip().endswith("…") == (width < 1000)
        for fact in ("acme-dist", "1.2.3", "any", "[bold]brack", "Another one"):
            assert fact in shown
        begins = {line.split()[0] for line in shown.splitlines() if line}
        assert {component.name for component in acme.discover()} <= begins
        assert "\x1b[1;31mbroken plugin \x1b[0m\x1b[31mbad" in stream.getvalue()

    @pytest.mark.parametrize(
        "arguments, shown, hidden",
        [
            (["--kind", "task"], {"acme-data", "image-cls"}, {LONG, "acme-metric"}),
            (["--modality", "audio"], {LONG, "acme-data", "acme-metric"}, {"digits", "perplexity"}),
            (["--modality", "image"], {"accuracy", "acme-metric", "digits"}, {LONG}),
            (["--modality", "audio", "--kind", "backbone"], {LONG}, {"resnet50", "acme-data"}),
        ],
    )
    def test_filters(self, acme, mmft, arguments, shown: set, hidden: set) -> None:
        found = names(as_json(mmft, *arguments, "--json"))
        assert shown <= found
        assert not hidden & found
        out = mmft("plugins", *arguments).out
        assert all(name in out for name in shown) and "BROKEN" in out

    def test_an_unknown_modality_or_kind(self, acme, mmft) -> None:
        code, _, err = astuple(mmft("plugins", "--modality", "imaeg"))
        assert code == 2
        assert "'imaeg'. Did you mean 'image'?" in err and "audio" in err
        assert mmft("plugins", "--kind", "backbones").code == 0
        unknown = mmft("plugins", "--kind", "trackers")
        assert unknown.code == 2 and "trackers are callbacks: --kind callback" in unknown.err

    def test_json(self, acme, mmft) -> None:
        document = as_json(mmft, "--json")
        (found,) = [c for c in document["components"] if c["name"] == LONG]
        assert found["qualified"] == f"acme/{LONG}"
        assert (found["available"], found["missing_extras"]) == (False, ["audio"])
        assert [f["plugin"] for f in document["failures"]] == ["bad", "worse"]
        assert document["failures"][0]["distribution"] == "bad-dist"

    def test_strict(self, acme, mmft) -> None:
        for arguments in (["--strict-plugins"], ["show", "digits", "--strict-plugins"]):
            code, out, err = astuple(mmft("plugins", *arguments))
            assert (code, out) == (2, "")
            assert "2 plugin(s) failed" in err and "bad-dist 0.1" in err


class TestShow:
    def test_options_with_types_defaults_and_docs(self, mmft) -> None:
        code, out, _ = astuple(mmft("plugins", "show", "vision/resnet50"))
        assert code == 0
        assert "image_size = 224  (int >= 32)" in out
        assert "Side of the square" in out
        assert "augment = auto  ('auto' | 'none' | 'light' | 'randaugment')" in out
        assert "provides  pooled, sequence" in out
        assert "--set backbone.augment=auto" in out

    def test_recommended_defaults_and_missing_extras(self, acme, mmft) -> None:
        out = mmft("plugins", "show", LONG).out
        assert "engine.lr = 0.0001" in out
        assert "pip install 'acme-dist[audio]'" in out

    def test_a_name_of_several_kinds_shows_all(self, acme, mmft) -> None:
        out = mmft("plugins", "show", "acme-data").out
        assert "acme-data  dataset" in out and "acme-data  task" in out
        assert "opens" in out and "/, .csv" in out
        out = mmft("plugins", "show", "acme-data", "--kind", "task").out
        assert "acme-data  dataset" not in out and "acme-data  task" in out

    def test_a_name_of_several_plugins_asks_which(self, acme, mmft) -> None:
        code, _, err = astuple(mmft("plugins", "show", "resnet50"))
        assert code == 2
        assert "Say which: 'acme/resnet50', 'vision/resnet50'" in err

    @pytest.mark.parametrize("more", [[], ["--kind", "backbone"]])
    def test_an_unknown_name(self, acme, mmft, more: list[str]) -> None:
        code, _, err = astuple(mmft("plugins", "show", "resnet5", *more))
        assert code == 2
        assert "named 'resnet5'. Did you mean 'resnet50'?" in err
        assert "bad (cannot be imported" in err

    @pytest.mark.parametrize(
        "arguments", [["show", "digits", "--json"], ["--json", "show", "digits"]]
    )
    def test_json(self, mmft, arguments: list[str]) -> None:
        (found,) = as_json(mmft, *arguments)["components"]
        assert found["name"] == "digits"
        assert found["options"][0] == {
            "name": "val",
            "type": "float >= 0 and < 1",
            "default": 0.1,
            "description": "Share of samples for validation.",
            "formerly": [],
        }
        assert found["defaults"]["backbone.image_size"] == 32
        assert found["contract"]["targets"] == ["class"]

    def test_options_that_cannot_be_loaded(self, site, one_backbone, mmft) -> None:
        source = one_backbone.format(name="n").replace('"a:b"', '"a:b", options="no_such:Options"')
        site.install("acme-dist", acme=source)
        code, out, _ = astuple(mmft("plugins", "show", "n"))
        assert code == 0
        assert "options cannot be shown" in out and "No module named 'no_such'" in out


HEAVY = ("torch", "torchvision", "accelerate", "datasets", "transformers", "sklearn", "matplotlib")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plugins"],
        ["plugins", "--json"],
        ["plugins", "--modality", "image"],
        ["plugins", "show", "resnet50"],
        ["plugins", "show", "image-cls", "--json"],
        ["run", "--help"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(arguments: list[str], tmp_path) -> None:
    """Proven on sys.modules, and on a terminal too, where tables are drawn."""
    program = f"""
import atexit, sys
report = lambda: print([m for m in {HEAVY} if m in sys.modules], file=open("heavy.txt", "w"))
atexit.register(report)
sys.stdout.isatty = lambda: True
from mmft_core.cli import main
main({arguments!r})
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    assert (tmp_path / "heavy.txt").read_text().strip() == "[]"


def test_the_console_script_and_the_module_are_the_same(tmp_path) -> None:
    environment = os.environ | {"COLUMNS": "80"}
    outputs = [
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment
        ).stdout
        for command in (
            [sys.executable, "-m", "mmft_core", "plugins"],
            [sys.executable, "-c", "from mmft_core.cli import main; main(['plugins'])"],
        )
    ]
    assert outputs[0] == outputs[1]
    assert "resnet50" in outputs[0]


def test_numbers_of_parameters_are_written_in_one_way() -> None:
    summaries = " ".join(c.spec.summary for c in discover().of(BackboneSpec))
    assert set(re.findall(r"\d ?(\w*) parameters", summaries)) == {"M", "B"}
    assert numbers.parameters(1_543_000_000) == "1.5 B"
    assert numbers.parameters(11_176_512) == "11.2 M"
