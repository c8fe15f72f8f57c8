"""The kit passes a sound generator, and rejects broken ones by the right check, saying why."""

from __future__ import annotations

import pytest

from mmft_core.errors import MmftError
from mmft_testing import generators, plugin_checks

EXPECTED = {
    "no-generator": ("codec_ends_and_pads_texts", "declares generation but is not a Generator"),
    "codec-without-end": ("codec_ends_and_pads_texts", "texts end with different tokens"),
    "codec-pads-with-zero": ("codec_ends_and_pads_texts", "not padded with PADDING"),
    "codec-takes-empty": ("an_empty_target_is_refused", "takes an empty text"),
    "half-precision": ("token_losses_have_their_shape", "torch.bfloat16 under autocast"),
    "padding-has-losses": ("token_losses_have_their_shape", "losses where there is no token"),
    "mean-loss": ("token_losses_have_their_shape", r"gives \(\), not \(3, "),
    "reads-padding": ("token_losses_do_not_mix", "losses depend on its batch"),
    "sees-ahead": ("tokens_do_not_see_those_behind_them", "depends on the tokens behind it"),
    "ignores-input": ("losses_depend_on_the_input", "do not depend on the input"),
    "writes-one-less": ("writes_one_text_for_each_input", "one text for each input"),
    "writes-by-batch": ("writes_one_text_for_each_input", "depends on its batch"),
    "stays-in-training": ("writes_one_text_for_each_input", "in training mode"),
    "writes-something-else": ("writes_what_it_has_learned", "learned 'a few words' and writes 'A"),
    "learns-nothing": ("writes_what_it_has_learned", "came down to"),
    "exports-one-batch": ("graphs_are_of_any_batch", "Constraints violated"),
}
PARAMS = {param.id: param.values[0] for param in plugin_checks("sound", "generators")}
SOUND = [name for name in PARAMS if name.startswith("generators/writer-")]


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_generator_passes(name: str) -> None:
    PARAMS[name]()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_one_is_rejected_for_the_right_reason(name: str) -> None:
    check, reason = EXPECTED[name]
    with pytest.raises((AssertionError, MmftError), match=reason):
        PARAMS[f"generators/{name}-{check}"]()


@pytest.mark.parametrize("name", ["sees-ahead", "reads-padding", "writes-by-batch"])
def test_other_checks_pass_where_one_fault_is_all_there_is(name: str) -> None:
    for check in generators.CHECKS:
        if check.__name__ not in (EXPECTED[name][0], "writes_what_it_has_learned"):
            PARAMS[f"generators/{name}-{check.__name__}"]()


def test_none_is_forgotten_and_every_check_has_rejected_something() -> None:
    named = {id_.rpartition("-")[0].removeprefix("generators/") for id_ in PARAMS}
    assert set(EXPECTED) <= named
    checks = {check.__name__ for check in generators.CHECKS}
    assert {check for check, _ in EXPECTED.values()} == checks


def test_backbones_that_do_not_write_are_not_asked_to() -> None:
    assert not any(id_ == "sound/mean-writes_what_it_has_learned" for id_ in PARAMS)
