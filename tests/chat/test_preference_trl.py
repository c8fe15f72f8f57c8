"""The losses of preferences beside those of TRL, on the same batches and the same networks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from mmft_chat import preference as preferences
from mmft_chat.backbone import ChatBackbone
from mmft_chat.conversations import Conversation
from mmft_chat.preference import Preference
from mmft_chat.preference_metrics import LogProbabilities, Rewards
from mmft_chat.preference_options import PreferenceOptions
from mmft_chat.reference import Reference
from mmft_core.contracts import Outputs
from tests.chat.test_chat import backbone, tokenizer
from tests.chat.test_preference import batch_of, seeing, seen_pairs
from tests.chat.tools import turn

__all__ = ["tokenizer"]

ASKED = turn("user", "Hello there, what is it?")
SAID = ("Hi, good day", "Nothing more", "It is sunny.", "Be kind", "Weather in Rome", "Welcome")
PAIRS = [
    Conversation((ASKED, turn("assistant", one)), (), (ASKED, turn("assistant", other)))
    for one, other in zip(SAID[::2], SAID[1::2], strict=True)
]
SINGLE = [Conversation((ASKED, turn("assistant", said))) for said in SAID]
LABELS = (True, False, True, True, False, False)


@pytest.fixture
def trl() -> Any:
    """Imported by its tests alone: it takes seconds, and each process of xdist imports this."""
    return pytest.importorskip("trl")


def preference(model: ChatBackbone, **options: Any) -> Preference:
    """With a reference of other weights."""
    own = PreferenceOptions(packing=False, **options)
    reference = Reference(trained=True)
    reference.model = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in reference.model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return Preference(model, own, reference).eval()


def judged(outputs: Outputs) -> dict[str, Any]:
    found = {}
    for name, metric in (("rewards", Rewards()), ("logps", LogProbabilities())):
        metric.update(outputs.predictions, outputs.targets)
        found |= {f"{name}/{key}": value for key, value in metric.compute().items()}
    return found


def rows(inputs: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """A batch without packing as TRL has it."""
    there = inputs[f"{prefix}samples"] >= 0
    return {
        "input_ids": inputs[f"{prefix}tokens"],
        "attention_mask": there.long(),
        "completion_mask": inputs[f"{prefix}learned"].long(),
    }


def check(outputs: Outputs, loss: Any, logged: dict[str, float], but: tuple[str, ...] = ()) -> None:
    assert outputs.loss is not None
    assert float(outputs.loss) == pytest.approx(float(loss.detach()), rel=1e-5, abs=1e-5)
    own = judged(outputs)
    names = {
        "rewards/chosen": "rewards/chosen",
        "rewards/rejected": "rewards/rejected",
        "rewards/margins": "rewards/margin",
        "rewards/accuracies": "rewards/accuracy",
        "logps/chosen": "logps/chosen",
        "logps/rejected": "logps/rejected",
    }
    for theirs, ours in names.items():
        if theirs not in but:
            assert own[ours] == pytest.approx(logged[theirs], rel=1e-5, abs=1e-5), ours


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path_factory.mktemp("trl")),
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
    }


def two_sides(count: int = 2) -> Any:
    import datasets

    row = {"prompt": "Hello", "chosen": "Hi", "rejected": "there"}
    return datasets.Dataset.from_list([row] * count)


@pytest.mark.parametrize(("loss", "theirs"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_dpo_and_ipo_are_those_of_trl(
    trl: Any, tokenizer: Any, arguments: dict[str, Any], loss: str, theirs: str
) -> None:
    task = preference(backbone(tokenizer), loss=loss, beta=0.3)
    assert task.reference.model is not None
    trainer = trl.DPOTrainer(
        copy.deepcopy(task.model.network),
        ref_model=copy.deepcopy(task.reference.model.network),
        args=trl.DPOConfig(loss_type=[theirs], beta=0.3, **arguments),
        train_dataset=two_sides(),
        processing_class=copy.deepcopy(tokenizer),
    )
    batch = batch_of(task, PAIRS)
    loss_of_trl = trainer._compute_loss(trainer.model.eval(), rows(batch.inputs["chat"]), False)
    logged = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
    with torch.no_grad():
        check(task(batch), loss_of_trl, logged)


def test_of_pictures_too(trl: Any, arguments: dict[str, Any]) -> None:
    task = preference(seeing("llava-1.5"), beta=0.3)
    assert task.reference.model is not None
    trainer = trl.DPOTrainer(
        copy.deepcopy(task.model.network),
        ref_model=copy.deepcopy(task.reference.model.network),
        args=trl.DPOConfig(beta=0.3, **arguments),
        train_dataset=two_sides(),
        processing_class=task.model.tokenizer,
    )
    batch = batch_of(task, seen_pairs())
    given = {**rows(batch.inputs["chat"]), "pixel_values": batch.inputs["chat"]["pixel_values"]}
    expected = trainer._compute_loss(trainer.model.eval(), given, False)
    logged = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
    with torch.no_grad():
        check(task(batch), expected, logged)


@pytest.mark.parametrize("paired", [True, False])
def test_kto_is_that_of_trl(
    trl: Any, tokenizer: Any, arguments: dict[str, Any], paired: bool
) -> None:
    """Of pairs each answer is one with a label; the drift is seen in answers to other prompts."""
    task = preference(
        backbone(tokenizer), loss="kto", beta=0.3, desirable_weight=1.2, undesirable_weight=0.7
    )
    assert task.reference.model is not None
    row = {"prompt": "Hello", "completion": "Hi", "label": True}
    import datasets

    trainer = trl.KTOTrainer(
        copy.deepcopy(task.model.network),
        ref_model=copy.deepcopy(task.reference.model.network),
        args=trl.KTOConfig(beta=0.3, desirable_weight=1.2, undesirable_weight=0.7, **arguments),
        train_dataset=datasets.Dataset.from_list([row, {**row, "label": False}]),
        processing_class=copy.deepcopy(tokenizer),
    )
    labels = [True] * 3 + [False] * 3 if paired else list(LABELS)
    targets = None if paired else [{"label": label} for label in LABELS]
    batch = batch_of(task, PAIRS if paired else SINGLE, targets)
    inputs = batch.inputs["chat"]
    crossed = {f"KL_{name}": value for name, value in rows(inputs, "crossed.").items()}
    given = {**rows(inputs), **crossed, "label": torch.tensor(labels)}
    expected = trainer._compute_loss(trainer.model.eval(), given, False)
    logged = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
    assert logged["kl"] > 0
    with torch.no_grad():
        check(task(batch), expected, logged, but=("rewards/accuracies",))


def test_kto_has_the_drift_of_all_processes(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training its mean over them, as TRL gathers it."""
    task = preference(backbone(tokenizer), loss="kto", beta=0.3).train()
    batches = [
        batch_of(task, SINGLE[k : k + 3], [{"label": label} for label in LABELS[k : k + 3]])
        for k in (0, 3)
    ]
    theirs: list[Tensor] = []

    def one_process(rows: Tensor) -> tuple[list[Tensor], int]:
        theirs.append(rows)
        return [rows], 0

    monkeypatch.setattr(preferences, "gathered", one_process)
    for batch in batches:
        task(batch)
    both = torch.cat(theirs)
    drift = both.mean()
    assert drift > 0 and not torch.isclose(theirs[0].mean(), theirs[1].mean())
    drifts: list[Tensor] = []

    def kto(ratios: Tensor, liked: Tensor, drift: Tensor, *others: Any) -> Tensor:
        drifts.append(drift)
        return ratios

    monkeypatch.setattr(preferences, "gathered", lambda rows: ([both], 0))
    monkeypatch.setattr(preferences, "kto", kto)
    for batch in batches:
        task(batch)
    assert drifts == [drift, drift]


def by_side(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of pairs as TRL's older trainers have it."""
    found = rows(inputs)
    labels = found["input_ids"].masked_fill(found["completion_mask"] == 0, -100)
    parts = {"input_ids": found["input_ids"], "attention_mask": found["attention_mask"]}
    halves = {name: tensor.chunk(2) for name, tensor in {**parts, "labels": labels}.items()}
    return {
        f"{side}_{name}": half[k]
        for k, side in enumerate(("chosen", "rejected"))
        for name, half in halves.items()
    }


@pytest.mark.parametrize("loss", ["simpo", "orpo"])
def test_simpo_and_orpo_are_those_of_trl(
    tokenizer: Any, arguments: dict[str, Any], loss: str
) -> None:
    if loss == "simpo":
        module = pytest.importorskip("trl.experimental.cpo")
        own = {"beta": 2.0, "label_smoothing": 0.1, "simpo_gamma": 0.8}
        config = module.CPOConfig(loss_type="simpo", cpo_alpha=0.0, **own, **arguments)
        trainer_type = module.CPOTrainer
    else:
        module = pytest.importorskip("trl.experimental.orpo")
        own = {"beta": 0.3}
        config = module.ORPOConfig(**own, **arguments)
        trainer_type = module.ORPOTrainer
    task = preference(backbone(tokenizer), loss=loss, **own)
    trainer = trainer_type(
        copy.deepcopy(task.model.network),
        args=config,
        train_dataset=two_sides(),
        processing_class=copy.deepcopy(tokenizer),
    )
    batch = batch_of(task, PAIRS)
    given = by_side(batch.inputs["chat"])
    expected, logged = trainer.get_batch_loss_metrics(trainer.model.eval(), given, "eval")
    with torch.no_grad():
        found = task(batch)
    check(found, expected, {name.removeprefix("eval_"): v for name, v in logged.items()})
