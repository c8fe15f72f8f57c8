"""Chats with pictures, on tiny networks of several families."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessor,
    Gemma3Config,
    Gemma3ImageProcessor,
    Gemma3Processor,
    Idefics3Config,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlavaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from mmft_chat.conversations import Conversation, Message, Part, asked
from mmft_chat.held import held_chat, with_files
from mmft_chat.options import ChatBackboneOptions, ChatOptions
from mmft_chat.task import Chat
from mmft_chat.vision import CHATML_WITH_PICTURES, VisionChatBackbone, build_vision_chat
from mmft_core.contracts import BackboneContext, Batch, DatasetInfo
from mmft_core.errors import IncompatibleError, WeightsError
from mmft_core.weights import WeightsRequest
from mmft_transformers.tokenizers import train
from tests.chat.tools import turn

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def tokenizer(*special: str, **named: str) -> Any:
    """With tokens of its own for pictures; some under the names that a family asks for."""
    texts = ["What is this picture? Two pictures: a red seven, a blue three. user assistant"] * 9
    found = train(texts, 400, "causal")
    tokens = ["<|im_start|>", "<|im_end|>", *special, *named.values()]
    found.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": tokens})
    return PreTrainedTokenizerFast(
        tokenizer_object=found.backend_tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        additional_special_tokens=tokens,
        extra_special_tokens=named or None,
    )


def llava() -> tuple[Any, Any]:
    own = tokenizer("<image>")
    pictures = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    family = LlavaProcessor(
        image_processor=pictures,
        tokenizer=own,
        patch_size=8,
        vision_feature_select_strategy="full",
        image_token="<image>",
        num_additional_image_tokens=0,
    )
    vision = {"model_type": "siglip_vision_model", "image_size": 16, "patch_size": 8, **VISION}
    config = LlavaConfig(
        vision_config={**vision, "vision_use_head": False},
        text_config={"model_type": "llama", "vocab_size": len(own), **TEXT},
        image_token_id=own.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    return family, config


def idefics3() -> tuple[Any, Any]:
    grid = [f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)]
    frame = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    own = tokenizer("<image>", *frame, *grid)
    pictures = Idefics3ImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    config = Idefics3Config(
        vision_config={"image_size": 32, "patch_size": 8, **VISION},
        text_config={"model_type": "llama", "vocab_size": len(own), **TEXT},
        image_token_id=own.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    return Idefics3Processor(image_processor=pictures, tokenizer=own, image_seq_len=4), config


def qwen() -> tuple[Any, Any]:
    own = tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    pictures = Qwen2VLImageProcessor(
        patch_size=4, merge_size=2, min_pixels=16 * 16, max_pixels=32 * 32
    )
    family = Qwen2_5_VLProcessor(
        image_processor=pictures,
        tokenizer=own,
        video_processor=Qwen2VLVideoProcessor(patch_size=4),
    )
    ids = own.convert_tokens_to_ids
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 4,
            "out_hidden_size": 32,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        text_config={"vocab_size": len(own), "rope_parameters": rope, **TEXT},
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    return family, config


def gemma3() -> tuple[Any, Any]:
    own = tokenizer(
        boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>"
    )
    pictures = Gemma3ImageProcessor(size={"height": 32, "width": 32})
    config = Gemma3Config(
        vision_config={"image_size": 32, "patch_size": 8, **VISION},
        text_config={"vocab_size": len(own), "sliding_window": 64, **TEXT},
        mm_tokens_per_image=4,
        image_token_index=own.image_token_id,
        boi_token_index=own.boi_token_id,
        eoi_token_index=own.eoi_token_id,
    )
    return Gemma3Processor(image_processor=pictures, tokenizer=own, image_seq_length=4), config


FAMILIES: dict[str, tuple[Callable[[], tuple[Any, Any]], str]] = {
    "llava": (llava, "<image>"),
    "idefics3": (idefics3, "<image>"),
    "qwen2_5_vl": (qwen, "<|vision_start|><|image_pad|><|vision_end|>"),
    "gemma3": (gemma3, "<start_of_image>"),
}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights and processor of a family."""
    make, mark = FAMILIES[request.param]
    family, config = make()
    family.chat_template = CHATML_WITH_PICTURES.replace("<image>", mark)
    path = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(path)
    family.save_pretrained(path)
    return path


def picture(width: int, height: int, seed: int = 0) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def shown(question: str, answer: str, *pictures: bytes) -> Conversation:
    parts = [Part("image", media=own) for own in pictures]
    asked = Message("user", (*parts, Part("text", question)))
    return Conversation((asked, turn("assistant", answer)))


CHATS = [
    shown("What is this?", "a red seven", picture(20, 20)),
    shown("What is this?", "a blue three", picture(20, 30, 1), picture(40, 20, 2)),
]


def built(choice: str, **more: Any) -> VisionChatBackbone:
    context = BackboneContext(
        weights=WeightsRequest(choice, "chat"), info=DatasetInfo(name=""), needs=("chat",), **more
    )
    model = build_vision_chat(ChatBackboneOptions(), context)
    assert isinstance(model, VisionChatBackbone)
    return model.eval()


def collated(model: VisionChatBackbone, chats: Sequence[Conversation] = CHATS) -> Any:
    processor = model.packed(join=None, learn="assistant")
    return processor.collate([processor.prepare(chat, train=True) for chat in chats])


def test_answers_are_learned_as_transformers_would(folder: Path) -> None:
    """The loss is that of transformers on the same labels; no token of a picture is learned."""
    model = built(str(folder))
    inputs = collated(model)
    for row, learned, chat in zip(inputs["tokens"], inputs["learned"], CHATS, strict=True):
        assert model.tokenizer.decode(row[learned]) == f"{chat.answer}<|im_end|>"
    nats, samples = model.learned_nats(inputs, 3)
    labels = inputs["tokens"].masked_fill(~inputs["learned"], -100)
    plain = model.network(**model._arguments(inputs), labels=labels).loss
    torch.testing.assert_close(nats.mean(), plain, atol=1e-5, rtol=1e-5)
    assert samples.unique().tolist() == [0, 1]


def test_answers_are_written_alike_alone_and_in_a_batch(folder: Path) -> None:
    task = Chat(built(str(folder)), ChatOptions(max_new_tokens=4)).eval()
    together = task(Batch(inputs={"chat": collated(task.model)}, targets=None, ids=["0", "1"]))
    alone = [
        task(Batch(inputs={"chat": collated(task.model, [chat])}, targets=None, ids=["0"]))
        for chat in CHATS
    ]
    assert together.predictions == [outputs.predictions[0] for outputs in alone]
    question = [Conversation(chat.messages[:1]) for chat in CHATS]
    asked = task(Batch(inputs={"chat": collated(task.model, question)}, targets=None, ids=[""] * 2))
    assert asked.predictions == together.predictions


def test_a_step_lowers_the_loss_and_is_kept(folder: Path, tmp_path: Path) -> None:
    model = built(str(folder))
    inputs = collated(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model.learned_nats(inputs, 64)[0].mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]
    model.save_assets(tmp_path)
    again = built("run", assets=tmp_path)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        again.learned_nats(collated(again), 64)[0], model.learned_nats(inputs, 64)[0]
    )


def test_no_picture_is_cut(folder: Path) -> None:
    """A chat that is too long is refused; of several turns the first ones may be left out."""
    model = built(str(folder))
    processor = model.processor
    length = processor._length(CHATS[0].messages, CHATS[0])
    longer = Conversation((*CHATS[1].messages, *CHATS[0].messages))
    context = BackboneContext(
        weights=WeightsRequest(str(folder), "chat"), info=DatasetInfo(name=""), needs=("chat",)
    )
    options = ChatBackboneOptions(max_length=length, overlong="truncate")
    short = build_vision_chat(options, context).processor
    assert "its first turns left out" in (short.inspect(longer, train=True) or "")
    own = short.collate([short.prepare(longer, train=True)])
    whole = processor.collate([processor.prepare(CHATS[0], train=True)])
    assert torch.equal(own["tokens"], whole["tokens"])
    assert torch.equal(own["pixel_values"], whole["pixel_values"])
    with pytest.raises(ValueError, match="even without its earlier turns"):
        short.inspect(CHATS[1], train=True)


def test_chats_without_pictures_go_beside_others(folder: Path) -> None:
    model = built(str(folder))
    mixed = [Conversation((turn("user", "Two?"), turn("assistant", "three"))), *CHATS]
    together = model.learned_nats(collated(model, mixed), 64)
    alone = [model.learned_nats(collated(model, [chat]), 64)[0] for chat in mixed]
    torch.testing.assert_close(together[0], torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_packing_is_refused_and_recordings_are(folder: Path) -> None:
    model = built(str(folder))
    with pytest.raises(IncompatibleError, match="cannot share a row"):
        model.packed(join=True, learn="assistant")
    heard = Message("user", (Part("audio", media=b"x"),))
    with pytest.raises(ValueError, match="reads text and pictures alone"):
        model.processor.inspect(Conversation((heard, turn("assistant", "x"))))


def test_a_language_model_is_refused(tmp_path: Path) -> None:
    own = tokenizer()
    own.chat_template = CHATML_WITH_PICTURES
    own.save_pretrained(tmp_path)
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(vocab_size=len(own), **TEXT)).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="Choose|cannot be loaded|has no processor"):
        built(str(tmp_path))


def test_learned_tokens_are_shown_turn_by_turn(folder: Path) -> None:
    """Those that the loss counts; a picture is one thing of many tokens."""
    processor = built(str(folder)).packed(join=None, learn="assistant")
    chat = Conversation((*CHATS[1].messages, turn("user", "Two?"), turn("assistant", "three")))
    parts = processor.show_learned(chat)
    assert [part.label for part in parts] == [message.role for message in chat.messages]
    tokens = [token for part in parts for token in part.tokens]
    inputs = processor.collate([processor.prepare(chat, train=True)])
    assert sum(token.count for token in tokens) == inputs["tokens"].shape[1]
    assert sum(token.count for token in tokens if token.learned) == int(inputs["learned"].sum())
    answers = ["".join(t.text for t in part.tokens if t.learned) for part in parts[1::2]]
    assert answers == ["a blue three<|im_end|>", "three<|im_end|>"]
    assert any(token.count > 1 for token in parts[0].tokens)


def test_pictures_are_attached_to_questions(tmp_path: Path) -> None:
    """By a command line as files, by a program as paths, bytes or in memory."""
    file = tmp_path / "seven.png"
    file.write_bytes(picture(8, 8))
    chat = with_files(asked("What is this?"), [file], ("image",))
    assert chat.messages[-1].parts == (Part("image", media=file), Part("text", "What is this?"))
    with Image.open(file) as opened:
        for given in (file, str(file), file.read_bytes(), opened):
            part = {"type": "image", "image": given}
            held = held_chat([{"role": "user", "content": [part, "What is this?"]}])
            assert held is not None and len(held.media("image")) == 1
    assert held_chat([{"question": "What?"}]) is None and held_chat("What?") is None
    for wrong in (tmp_path / "none.png", tmp_path / "hum.wav"):
        with pytest.raises(ValueError, match="there is no such file|takes no recordings"):
            with_files(asked("What?"), [wrong], ("image",))
