"""Runs of the task chat from the command line, on chats of one's own and weights of one's own."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LlamaConfig,
)

from mmft import load
from mmft_chat.answering import Question
from mmft_chat.scratch import CHATML
from mmft_chat.task import Chat
from mmft_core import discover
from mmft_core.cli.summary import next_command
from mmft_core.config.resolving import resolve
from mmft_core.config.trees import read_toml
from mmft_core.contracts.callbacks import TrainStep
from mmft_core.errors import DataError
from mmft_core.inference import opening
from mmft_core.run import runner
from mmft_core.utils.digests import write_digests
from mmft_transformers.tokenizers import train
from tests.conftest import Finished
from tests.engine.toy import Recorder

Mmft = Callable[..., Finished]

COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black"}
ASKED = ("What colour is {}?", "Say the colour of {}.", "{}: which colour?", "Colour of {}?")


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 chats, all of which train and test have."""
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": asked.format(thing)},
                {"role": "assistant", "content": colour},
            ],
            "split": split,
        }
        for asked in ASKED
        for thing, colour in COLOURS.items()
        for split in (("train", "train", "val", "test") if asked == ASKED[0] else ("train",))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of transformers: a narrow Llama of random weights, with tokenizer and template."""
    folder = tmp_path_factory.mktemp("weights")
    texts = [a.format(t) for a in ASKED for t in COLOURS] + list(COLOURS.values())
    tokenizer = train(texts * 3, 400, "causal")
    tokens = ["<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens({"eos_token": tokens[1], "additional_special_tokens": tokens})
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def arguments(chats: Path, weights: Path, output: Path, *more: str) -> Sequence[str | Path]:
    settings = {
        "engine.steps": 60,
        "engine.batch_size": 8,
        "engine.lr": 0.005,
        "engine.precision": "fp32",
        "engine.workers": 0,
        "engine.eval_every": 30,
        "task.max_new_tokens": 6,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    names = ["--task", "chat", "--backbone", "chat-lm", "--weights", weights]
    return ["run", *names, "--dataset", chats, *sets, "--output", output, *more]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, chats: Path, weights: Path) -> Path:
    from mmft_core.cli import main

    output = tmp_path_factory.mktemp("run") / "run"
    main([str(a) for a in arguments(chats, weights, output)])
    return output


def answers(ended: Finished) -> list[str]:
    assert ended.code == 0, ended.err
    return [json.loads(line)["answer"] for line in ended.out.splitlines()]


def test_a_run_learns_judges_and_predicts(run: Path, chats: Path, mmft: Mmft) -> None:
    results = json.loads((run / "results.json").read_text())
    assert results["metrics"]["test"]["exact-match"] == 1
    assert answers(mmft("predict", run, "What colour is snow?")) == ["white"]
    judged = mmft("eval", run, "--split", "test", "--json")
    assert json.loads(judged.out)["exact-match"] == 1, judged.err
    assert "chats from column" in (run / "report.html").read_text()


def test_a_finished_network_is_not_tried_again(
    run: Path, tmp_path: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is kept with the run; runs of earlier versions, without it, still load."""
    kept = Path("model", "assets", "chat", "trials.json")
    found = {"mixes": "", "ignores_padding": True, "by_head": True}
    assert json.loads((run / kept).read_text()) == found
    earlier = shutil.copytree(run, tmp_path / "earlier")
    (earlier / kept).unlink()
    write_digests(earlier / "model")
    assert answers(mmft("predict", earlier, "What colour is snow?")) == ["white"]
    unknown = {**found, "mixes": None}  # As of a run without packing.
    (earlier / kept).write_text(json.dumps(unknown))
    write_digests(earlier / "model")
    packed = ("--set", "task.packing=true")
    assert answers(mmft("predict", earlier, "What colour is snow?", *packed)) == ["white"]

    def never(*_: object) -> bool:
        raise AssertionError("it is tried again")

    for name in ("keeps_apart", "ignores_padding", "computes_logits_by_head"):
        monkeypatch.setattr(f"mmft_chat.backbone.{name}", never)
    assert answers(mmft("predict", run, "What colour is snow?")) == ["white"]
    judged = mmft("eval", run, "--split", "test", "--json")
    assert json.loads(judged.out)["exact-match"] == 1, judged.err


def test_a_table_of_questions_is_answered(run: Path, tmp_path: Path, mmft: Mmft) -> None:
    table = tmp_path / "questions.jsonl"
    rows = [{"question": "What colour is coal?"}, {"question": "What colour is sky?"}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert answers(mmft("predict", run, "--dataset", table)) == ["black", "blue"]


def test_what_is_exported_is_a_folder_that_transformers_chats_with(
    run: Path, tmp_path: Path, mmft: Mmft
) -> None:
    ended = mmft("export", run, "--format", "safetensors", "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    folder = tmp_path / "out" / "chat"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    asked = [{"role": "user", "content": "What colour is grass?"}]
    given = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = network.generate(**given)[0, given["input_ids"].shape[1] :]
    assert tokenizer.decode(written, skip_special_tokens=True) == "green"


def test_what_is_learned_is_shown_before_training_and_after_it(
    run: Path, chats: Path, weights: Path, tmp_path: Path, mmft: Mmft
) -> None:
    """A dry run reads no weights but counts the parameters of the named folder."""
    bare = tmp_path / "bare"
    shutil.copytree(weights, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    ended = mmft(*arguments(chats, bare, tmp_path / "run", "--dry-run"))
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "# + assistant blue<|im_end|>" in lines and "# assistant <|im_start|>assistant↵" in lines
    assert any("row 1: " in line and " are learned" in line for line in lines)
    network = AutoModelForCausalLM.from_pretrained(weights)
    own = sum(parameter.numel() for parameter in network.parameters())
    assert f"chat backbone: {own:,} parameters" in ended.out
    (tmp_path / "again.toml").write_text(ended.out)
    again = mmft("run", "-c", tmp_path / "again.toml", "--dry-run")
    assert again.out == ended.out, again.err
    report = (run / "report.html").read_text()
    assert '<span class="on" title="learned">&lt;|im_end|&gt;</span>' in report


def test_question_types_have_scores_of_their_own(run: Path, tmp_path: Path, mmft: Mmft) -> None:
    """Also a run's report shows them, and chats as they look."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": ASKED[0].format(thing)},
                {"role": "assistant", "content": answer},
            ],
            "question_type": kind,
        }
        for kind, wrong in (("known", ""), ("unknown", "very "))
        for thing, colour in COLOURS.items()
        for answer in (f"{wrong}{colour}",)
    ]
    table = tmp_path / "typed.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = mmft("eval", run, "--dataset", table, "--json")
    assert judged.code == 0, judged.err
    kinds = json.loads(judged.out)["kinds"]
    assert kinds["known"] == {"samples": 4, "exact-match": 1, "token-f1": 1}
    assert kinds["unknown"]["exact-match"] == 0 < kinds["unknown"]["token-f1"]
    report = (run / "report.html").read_text()
    assert '<div class="said user"><span>user</span>' in report and 'id="kinds"' not in report


def test_the_data_check_counts_tokens_for_a_model(
    chats: Path, weights: Path, tmp_path: Path, mmft: Mmft
) -> None:
    model = ("--task", "chat", "--backbone", "chat-lm", "--weights", weights)
    file = tmp_path / "found.json"
    ended = mmft("data", "check", chats, *model, "--json", file)
    assert "of all tokens are learned" in ended.out, ended.err
    lengths = [one["tokens"] for one in json.loads(file.read_text())["splits"]["val"]["learned"]]
    assert len(lengths) == 4
    turns = json.loads(chats.read_text().splitlines()[0])["messages"]
    longer = tmp_path / "longer.jsonl"
    longer.write_text(json.dumps({"messages": turns * 2}))
    short = f"backbone.max_length={max(lengths)}"
    for overlong, kind in (("refuse", "unlearnable"), ("truncate", "shortened")):
        settings = ("--set", short, "--set", f"backbone.overlong={overlong}")
        ended = mmft("data", "check", longer, *model, *settings)
        assert ended.code == 1 and f"({kind})" in ended.out, ended.err
    alone = mmft("data", "check", chats, *model[2:])
    assert alone.code == 2 and "--backbone needs --task" in alone.err


class Stop(Recorder):
    """Presses Ctrl-C after the second step."""

    def on_step(self, event: TrainStep) -> None:
        if event.step == 2:
            os.kill(os.getpid(), signal.SIGINT)


FEW = ("--set", "engine.steps=6", "--set", "engine.eval_every=6", "--set", "engine.log_every=1")


@pytest.mark.parametrize("more", [(), ("--tune", "lora")], ids=["full", "lora"])
def test_an_interrupted_run_ends_in_equal_weights(
    chats: Path, weights: Path, tmp_path: Path, mmft: Mmft, more: Sequence[str]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    ended = mmft(*arguments(chats, weights, whole, *FEW, *more))
    assert ended.code == 0, ended.err
    plan = resolve(read_toml(whole / "config.toml"), discover())
    assert runner.train(plan, cut, [Stop()]).results is None
    assert mmft("run", "--resume", cut).code == 0
    one, other = ((r / "model" / "model.safetensors").read_bytes() for r in (whole, cut))
    assert one == other


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--set", "backbone.max_length=16"), "tokens long, and the model reads 16"),
        (("--set", "backbone.chat_template=none.jinja"), "The chat template none.jinja cannot be"),
        (("--metric", "accuracy"), "measures classes"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    chats: Path, weights: Path, tmp_path: Path, mmft: Mmft, more: Sequence[str], reason: str
) -> None:
    ended = mmft(*arguments(chats, weights, tmp_path / "run", *more))
    assert ended.code == 2 and reason in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


def test_bad_rows_are_told_before_training(
    chats: Path, weights: Path, tmp_path: Path, mmft: Mmft
) -> None:
    bad = tmp_path / "bad.jsonl"
    row = {"messages": [{"role": "user", "content": "Hi"}], "split": "train"}
    bad.write_text(chats.read_text() + json.dumps(row) + "\n")
    ended = mmft(*arguments(bad, weights, tmp_path / "run"))
    assert ended.code == 2
    assert "bad.jsonl, row 29: it has no assistant turn" in " ".join(ended.err.split())


def test_a_terminal_chats(run: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer is to a chat of three turns, the third to a new one."""
    lines = "What colour is snow?\nSay the colour of coal.\n/reset\nColour of grass?\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    ended = mmft("chat", run)
    assert ended.code == 0, ended.err
    answers = ended.out.splitlines()
    assert len(answers) == 3 and (answers[0], answers[2]) == ("white", "green")


def test_only_chat_models_chat(mmft: Mmft, tmp_path: Path) -> None:
    ended = mmft("chat", tmp_path)
    assert ended.code == 2 and "Traceback" not in ended.err


def test_pictures_are_asked_about(
    tmp_path: Path, mmft: Mmft, narrow_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a table that names them, with adapters; and in a terminal."""
    for name in ("red", "blue"):
        Image.new("RGB", (20, 20), name).save(tmp_path / f"{name}.png")
    rows = [
        {"image": f"{name}.png", "question": "Which colour?", "answer": name, "split": split}
        for split in ("train", "val", "test")
        for name in ("red", "blue")
    ]
    table = tmp_path / "pictures.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ("engine.steps=2", "engine.workers=0", "backbone.size=tiny", "task.max_new_tokens=2")
    sets = [part for setting in settings for part in ("--set", setting)]
    names = ("--task", "chat", "--backbone", "vision-chat", "--dataset", table, "--tune", "lora")
    run = tmp_path / "run"
    ended = mmft("run", *names, *sets, "--set", "backbone.vocabulary=300", "--output", run)
    assert ended.code == 0, ended.err
    assert len(answers(mmft("predict", run, "--dataset", table))) == 6
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Which colour?\n")))
    assert mmft("chat", run, "--image", tmp_path / "red.png").code == 0
    ended = mmft("chat", run, "--image", table)
    assert ended.code == 2 and "pictures.jsonl cannot be read" in " ".join(ended.err.split())
    ended = mmft("export", run, "--format", "safetensors", "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    folder = tmp_path / "out" / "chat"
    reader = AutoProcessor.from_pretrained(folder)
    network = AutoModelForImageTextToText.from_pretrained(folder)
    given = reader.tokenizer("Which?", return_tensors="pt")
    written = network.generate(**given)[0, given["input_ids"].shape[1] :]
    assert len(written) <= 2, "transformers is told task.max_new_tokens"


def test_a_terminal_helps(run: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "/help\n/imgae x\n/image x.png\nWhat colour is snow?\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    ended = mmft("chat", run)
    assert ended.out.splitlines()[-1] == "white" and "/reset" in ended.out
    told = " ".join(ended.err.split())
    assert "no command /imgae" in told and "The model does not read pictures." in told


def test_a_program_asks_with_the_messages_of_a_chat(run: Path, mmft: Mmft) -> None:
    def asked(*said: str) -> list[dict[str, str]]:
        roles = ("user", "assistant")
        return [{"role": roles[k % 2], "content": text} for k, text in enumerate(said)]

    model = load(run)
    (one,) = model.predict(asked("What colour is snow?"))
    assert one == {"input": "input 0", "answer": "white"}
    several = model.predict([asked("Colour of coal?", "black", "Colour of grass?"), asked("Hi")])
    assert len(several) == 2 and several[0]["answer"] == "green"
    with pytest.raises(DataError, match=r"turn 2 \(user\) follows a user turn"):
        model.predict(asked("Hi") * 2)
    ended = mmft("predict", run, "What colour is snow?", "--image", "x.png")
    assert ended.code == 2 and "the model does not read pictures, such as x.png" in ended.err
    results = json.loads((run / "results.json").read_text())
    assert next_command(results, Path("r")).startswith("mmft chat r, or mmft predict r QUESTION")


def test_an_export_answers_as_the_run_does(run: Path, tmp_path: Path, mmft: Mmft) -> None:
    """Though what was found by trying the network, and is kept, is not true of its graphs."""
    folder = tmp_path / "out"
    ended = mmft("export", run, "--format", "torch-export", "--samples", "2", "-o", folder)
    assert ended.code == 0, ended.err
    assert answers(mmft("predict", folder, "What colour is snow?")) == ["white"]
    task = opening.load(folder, discover()).task
    assert isinstance(task, Chat)
    said: list[str] = []
    questions = [
        Question(
            prepared=task.prepare_chat([{"role": "user", "content": text}]),
            end=lambda answer: said.append(answer.text),
        )
        for text in ("What colour is snow?", "Colour of coal?")
    ]
    task.answer_chats(questions)
    assert sorted(said) == ["black", "white"]
