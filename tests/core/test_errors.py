"""The error tree: what is printed, what travels between processes, and that it is documented."""

from __future__ import annotations

import pickle

import pytest

from mmft_core import errors
from mmft_core.errors import (
    MmftError,
    NonFiniteLossError,
    SampleError,
    StopTrainingError,
    did_you_mean,
)

ALL = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, Exception) and value is not StopTrainingError
]


def test_every_error_has_one_root_and_a_place_in_the_picture() -> None:
    lines = (errors.__doc__ or "").splitlines()
    for error in ALL:
        assert issubclass(error, MmftError)
        (line,) = [text for text in lines if f" {error.__name__} " in f" {text.strip('│├└─ ')} "]
        depth = len(error.__mro__) - len(MmftError.__mro__)
        indent = len(line) - len(line.lstrip(" │├└─"))
        assert indent == 4 + 4 * depth, f"{error.__name__} is drawn at another depth"


def test_message_and_hint() -> None:
    assert str(MmftError("It is so.", hint="Do this.")) == "It is so. Do this."
    assert str(MmftError("It is so.")) == "It is so."


def test_a_sample_error_survives_the_way_out_of_a_worker() -> None:
    error = pickle.loads(pickle.dumps(SampleError("photos/a.jpg", "is cut off", hint="h")))
    assert (error.sample_id, error.reason) == ("photos/a.jpg", "is cut off")
    assert str(error) == "photos/a.jpg: is cut off. h"


def test_a_non_finite_loss_names_step_and_samples_but_not_all() -> None:
    few = NonFiniteLossError(7, float("nan"), ["a", "b"])
    assert "became nan at step 7, on the samples a, b." in few.message
    many = NonFiniteLossError(7, float("inf"), [str(i) for i in range(20)])
    assert "and 12 more" in many.message
    assert len(many.sample_ids) == 20


@pytest.mark.parametrize(
    "name, known, answer",
    [
        ("resnt50", ["resnet50", "vit"], " Did you mean 'resnet50'?"),
        ("zzz", ["resnet50"], ""),
        ("x", [], ""),
    ],
)
def test_did_you_mean(name: str, known: list[str], answer: str) -> None:
    assert did_you_mean(name, known) == answer
