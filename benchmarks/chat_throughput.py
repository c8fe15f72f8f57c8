"""Tokens a second and memory of fine-tuning models that chat: mmft beside TRL's SFTTrainer.

    pip install -e '.[test,bench]'
    python benchmarks/chat_throughput.py

A Llama of random weights (23 million, a vocabulary of 32,768) learns the answers of chats whose
turns are documentation strings; a vision-language model of random weights, those of questions about
drawn digits. All contenders have the same network, chats and loss, and learn from about as many
tokens in a step, by AdamW in float32 weights. Each runs in a fresh process, in turn over several
rounds; ratios are taken within rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chat_peers import CHATS, CONTENDERS, FACTS, NETWORK

Results = dict[str, list[dict[str, float]]]
"""What each contender measured in each round."""

VOCABULARY = 32_768
_WORDS = 200
"""Of a chat at most, so that none is longer than a row."""
KINDS = {"text": "Llama, 23 M", "pictures": "vision-language model"}


def make_texts(folder: Path, count: int) -> None:
    """Chats of two questions and answers, cut from documentation strings, and a Llama."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from mmft_chat.scratch import CHATML
    from mmft_core import DatasetSpec
    from mmft_core.contracts import DatasetContext
    from mmft_core.discovery import discover
    from mmft_transformers.tokenizers import train as train_tokenizer

    component = discover().get(DatasetSpec, "text/docstrings")
    data = component.build(component.options_type()(), DatasetContext(target="class"))
    split = data.splits["train"]
    texts = [split[k * len(split) // count].inputs["text"] for k in range(count)]
    tokenizer: Any = train_tokenizer(iter(texts), 8000, "causal")
    marks = {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    tokenizer.add_special_tokens(marks)
    tokenizer.chat_template = CHATML
    tokens = 0
    with (folder / CHATS).open("w", encoding="utf-8") as file:
        for text in texts:
            words = text.split()[:_WORDS]
            cut = [len(words) * k // 6 for k in (0, 1, 3, 4, 6)]
            turns = [" ".join(words[a:b]) for a, b in itertools.pairwise(cut)]
            roles = ("user", "assistant") * 2
            messages = [
                {"role": role, "content": turn or "…"}
                for role, turn in zip(roles, turns, strict=True)
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
            rendered = tokenizer.apply_chat_template(messages, tokenize=False)
            tokens += len(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=6,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder / NETWORK)
    tokenizer.save_pretrained(folder / NETWORK)
    _write_facts(folder, tokens=tokens, chats=count, pictures=False)


def make_pictures(folder: Path, count: int) -> None:
    """Questions about drawn digits, and the small network that mmft makes for them."""
    from mmft_core import BackboneSpec, DatasetSpec
    from mmft_core.contracts import BackboneContext, DatasetContext
    from mmft_core.discovery import discover
    from mmft_core.weights import WeightsRequest

    registry = discover()
    component = registry.get(DatasetSpec, "chat-pictures")
    options = component.options_type()(samples=count, val=0.0, test=0.0)
    data = component.build(options, DatasetContext(target="text"))
    split = data.splits["train"]
    vision = registry.get(BackboneSpec, "vision-chat")
    context = BackboneContext(
        weights=WeightsRequest("none"), info=data.info, needs="sequence", train=split
    )
    backbone = vision.build(vision.options_type()(size="small", vocabulary=500), context)
    backbone.save_assets(folder / NETWORK)
    backbone.network.save_pretrained(folder / NETWORK)
    processor, items = backbone.processor, []
    with (folder / CHATS).open("w", encoding="utf-8") as file:
        for index in range(len(split)):
            sample = split[index]
            chat = sample.inputs["chat"]
            picture, question = chat.messages[0].parts
            path = folder / f"{index}.png"
            path.write_bytes(picture.media)
            row = {"image": str(path), "question": question.text, "answer": sample.target}
            file.write(json.dumps(row) + "\n")
            items.append(processor.prepare(chat, train=False))
    tokens = int((processor.collate(items)["samples"] >= 0).sum())
    _write_facts(folder, tokens=tokens, chats=len(split), pictures=True)


def _write_facts(folder: Path, **facts: Any) -> None:
    (folder / FACTS).write_text(json.dumps(facts))


def run_rounds(names: Sequence[str], arguments: Sequence[object], rounds: int) -> Results:
    """Let the contenders work in turn."""
    script = Path(__file__).with_name("chat_peers.py")
    results: Results = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            command = [sys.executable, str(script), name, *map(str, arguments)]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode:
                sys.exit(f"{name} failed:\n{ended.stderr}")
            found = json.loads(ended.stdout.splitlines()[-1])
            results[name].append(found)
            told = f"round {number + 1}  {name}: {found['rate']:,.0f} tokens/s"
            print(told, file=sys.stderr, flush=True)
    return results


def ratio(results: Results, name: str, other: str) -> str:
    """The median of the rounds' ratios."""
    if other not in results:
        return ""
    pairs = zip(results[name], results[other], strict=True)
    return f"{statistics.median(a['rate'] / b['rate'] for a, b in pairs):.2f}"


def report(title: str, facts: dict[str, Any], results: Results) -> None:
    """Print medians, and those of each round's ratios, as a table in Markdown."""
    rounds = len(next(iter(results.values())))
    print(
        f"\n{title}: {facts['chats']:,} chats of {facts['tokens']:,} tokens, "
        f"{os.cpu_count()} cores; medians of {rounds}\n"
    )
    print("| | tokens/s | over TRL | over TRL, tuned | CPU µs a token | peak MB | of training MB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, measured in results.items():
        median = {key: statistics.median(m[key] for m in measured) for key in measured[0]}
        print(
            f"| {name} | {median['rate']:,.0f} | {ratio(results, name, 'TRL')} | "
            f"{ratio(results, name, 'TRL, tuned')} | {median['cpu_us']:,.0f} | "
            f"{median['peak_mb']:,.0f} | {median['grown_mb']:,.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--chats", type=int, default=64, help="Number of text chats.")
    parser.add_argument("--pictures", type=int, default=256, help="Chats with a picture.")
    parser.add_argument("--batch-size", type=int, default=8, help="Text chats in a batch.")
    parser.add_argument("--row-length", type=int, default=1024, help="Tokens, where packed.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    given = parser.parse_args()
    found = []
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if kind == "text":
                make_texts(folder, given.chats)
                size = given.batch_size
            else:
                make_pictures(folder, given.pictures)
                size = 4 * given.batch_size  # They are short.
            facts = json.loads((folder / FACTS).read_text())
            arguments = (folder, size, given.row_length)
            results = run_rounds(given.only, arguments, given.rounds)
            found.append((KINDS[kind], facts, results))
    for each in found:
        report(*each)


if __name__ == "__main__":
    main()
