"""Commands that an outside package adds to `mmft`, and those of packages that are broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import Finished
from tests.core.conftest import Site

Mmft = Callable[..., Finished]

GREET = """
    from mmft_core import CommandSpec, hookimpl

    @hookimpl
    def register_command():
        return [
            CommandSpec(
                name="{name}", summary="Greet somebody.", build="{module}_work:greet", section="Fun"
            )
        ]
"""
WORK = """
    import click

    @click.command()
    @click.argument("name")
    def greet(name):
        '''Greet somebody by name.'''
        if name == "nobody":
            raise ValueError("there is nobody")
        click.echo("{words} " + name)
"""


def install(site: Site, module: str, name: str = "greet", work: str = WORK, **more: str) -> None:
    sources = {module: GREET.format(name=name, module=module)}
    sources[f"{module}_work"] = work.format(words=f"{module} greets")
    site.install(f"mmft-{module}", {module: module}, **sources, **more)


def test_a_command_is_listed_called_and_explained(site: Site, mmft: Mmft) -> None:
    install(site, "acme")
    told = mmft("--help").out
    assert "Fun:\n  greet  Greet somebody." in told and "broken" not in told
    assert mmft("greet", "Ada").out == "acme greets Ada\n"
    assert "Greet somebody by name." in mmft("greet", "--help").out
    listed = mmft("plugins", "--kind", "command").out
    assert any(line.split()[:4] == ["command", "greet", "-", "acme"] for line in listed.split("\n"))
    assert "section" in mmft("plugins", "show", "greet").out


def test_the_exit_code_of_a_command_is_that_of_mmft(site: Site, mmft: Mmft) -> None:
    ending = """
        import click

        @click.command()
        @click.argument("name")
        @click.pass_context
        def greet(ctx, name):
            if name == "nobody":
                ctx.exit(3)
            return len(name)
    """
    install(site, "acme", work=ending)
    assert mmft("greet", "nobody").code == 3
    assert mmft("greet", "Ada").code == 0, "what a command returns is no exit code"


def test_of_two_commands_with_one_name_each_has_a_longer_one(site: Site, mmft: Mmft) -> None:
    install(site, "acme")
    install(site, "other")
    told = mmft("--help").out
    assert "acme/greet" in told and "other/greet" in told and "  greet " not in told
    assert mmft("other/greet", "Ada").out == "other greets Ada\n"
    ended = mmft("greet", "Ada")
    assert ended.code == 2 and "Say which: 'acme/greet', 'other/greet'" in ended.err


def test_a_command_does_not_take_the_place_of_the_core_s(site: Site, mmft: Mmft) -> None:
    install(site, "acme", "plugins")
    assert "greets" not in mmft("plugins").out
    assert "acme/plugins" in mmft("--help").out
    assert mmft("acme/plugins", "Ada").out == "acme greets Ada\n"


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("import no_such_module", "cannot be loaded: No module named"),
        ("raise RuntimeError('oh')", "cannot be loaded: RuntimeError: oh"),
        ("greet = 'a string'", "is not a click command"),
        ("", "has no attribute 'greet'"),
    ],
)
def test_a_broken_command_is_one_sentence_and_harms_no_other(
    site: Site, mmft: Mmft, work: str, words: str
) -> None:
    install(site, "acme", work=work)
    install(site, "other", "salute")
    ended = mmft("greet", "Ada")
    assert ended.code == 2 and words in " ".join(ended.err.split()), ended.err
    assert "Traceback" not in ended.err and "acme_work" in ended.err
    assert mmft("salute", "Ada").out == "other greets Ada\n"
    assert "greet " in mmft("--help").out


def test_a_plugin_that_does_not_load_is_told_of(site: Site, mmft: Mmft) -> None:
    site.install("mmft-bad", bad="import no_such_module")
    assert "`mmft plugins` says which" in " ".join(mmft("--help").out.split())
    ended = mmft("greet")
    assert ended.code == 2 and "There is no command 'greet'" in ended.err
    assert "bad (cannot be imported" in " ".join(ended.err.split())
    assert mmft("plugins").code == 0


def test_packages_that_a_command_needs_are_named(site: Site, mmft: Mmft) -> None:
    spec = GREET.format(name="greet", module="acme").replace('section="Fun"', 'extras=("fun",)')
    metadata = """\
        Provides-Extra: fun
        Requires-Dist: no-such-package; extra == "fun"
        """
    site.install(
        "mmft-acme", {"acme": "acme"}, metadata=metadata, acme=spec, acme_work="import no_such"
    )
    ended = mmft("greet")
    assert ended.code == 2 and "pip install 'mmft-acme[fun]'" in ended.err


def test_a_mistake_in_a_command_names_its_plugin(site: Site) -> None:
    install(site, "acme")
    ended = subprocess.run(
        [sys.executable, "-m", "mmft_core", "greet", "nobody"],
        env={"PYTHONPATH": ":".join([str(site.root), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode != 0 and "there is nobody" in ended.stderr and "acme" in ended.stderr


@pytest.mark.parametrize("columns", range(50, 80, 6))
def test_the_help_breaks_no_word_at_its_hyphens(
    mmft: Mmft, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = mmft("run", "--help").out
    assert "-\n" not in told and "--set KEY=VALUE" in told


def test_the_help_imports_nothing_heavy() -> None:
    program = "import sys; sys.argv = ['mmft', '--help']\nfrom mmft_core.cli import main\n"
    program += "try: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert "Search:" in ended.stdout and ended.stdout.endswith("False\n")
