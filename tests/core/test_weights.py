"""Weights: what fits is loaded, what does not is named, and nothing is executed."""

from __future__ import annotations

import pickle
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from mmft_core.errors import WeightsError
from mmft_core.weights import WeightsRequest, fill, read_weights
from mmft_core.weights.http import ensure_reachable


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def filled(value: float = 7.0) -> dict[str, torch.Tensor]:
    return {k: torch.full_like(v, value) for k, v in net().state_dict().items()}


def is_filled(module: nn.Module, value: float = 7.0) -> bool:
    return all((v == value).all() for v in module.state_dict().values())


class TestFill:
    def test_what_fits(self) -> None:
        module = net()
        fill(module, filled(), "x")
        assert is_filled(module)

    @given(st.sampled_from(["module.", "backbone.body.", "0.", "a.0."]))
    def test_a_prefix_of_all_keys_is_dropped(self, prefix: str) -> None:
        module = net()
        fill(module, {prefix + k: v for k, v in filled().items()}, "x")
        assert is_filled(module)

    def test_other_parts_of_a_larger_network_are_left_out_with_the_prefix(self) -> None:
        module = net()
        state = {f"encoder.{k}": v for k, v in filled().items()}
        fill(module, {**state, "head.weight": torch.zeros(1)}, "x")
        assert is_filled(module)

    def test_a_published_head_is_left_out(self) -> None:
        module = net()
        fill(module, {**filled(), "fc.weight": torch.zeros(1)}, "x", head=("fc.",))
        assert is_filled(module)

    @pytest.mark.parametrize(
        "change, sentence",
        [
            (lambda s: s.pop("0.bias"), r"lacks '0.bias' \(1 tensors missing, 0 unknown\)"),
            (lambda s: s.update(x=s["0.bias"]), r"also holds 'x' \(0 tensors missing, 1 unknown"),
            (lambda s: s.clear(), "lacks '0.bias'"),
            (
                lambda s: s.update({"0.weight": torch.zeros(3, 9)}),
                r"'0.weight' has shape \(3, 9\), not \(3, 2\)",
            ),
        ],
    )
    def test_what_does_not_fit_is_named_and_changes_nothing(self, change, sentence) -> None:
        module, state = net(), filled()
        before = {k: v.clone() for k, v in module.state_dict().items()}
        change(state)
        with pytest.raises(WeightsError, match=f"w.pt does not fit the backbone.*{sentence}"):
            fill(module, state, "w.pt")
        assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


class TestRead:
    @pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}])
    def test_a_pt_file(self, tmp_path: Path, wrap) -> None:
        torch.save(wrap(filled()), tmp_path / "w.pt")
        assert read_weights(tmp_path / "w.pt").keys() == filled().keys()

    def test_a_safetensors_file(self, tmp_path: Path) -> None:
        save_file(filled(), tmp_path / "w.safetensors")
        assert read_weights(tmp_path / "w.safetensors").keys() == filled().keys()

    @pytest.mark.parametrize("place", ["model/model.safetensors", "model.safetensors"])
    def test_a_run_directory_gives_the_backbone_of_the_modality(self, tmp_path, place) -> None:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        state = {f"backbones.image.{k}": v for k, v in filled(1).items()}
        state |= {f"backbones.text.{k}": v for k, v in filled(2).items()}
        save_file({**state, "head.weight": torch.zeros(1)}, tmp_path / place)
        module = net()
        fill(module, read_weights(tmp_path, "text"), "x")
        assert is_filled(module, 2)

    @pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
    @pytest.mark.parametrize("payload", ["raw", "zipped"])
    def test_code_in_a_pickle_is_refused_and_not_executed(self, tmp_path, suffix, payload) -> None:
        mark, file = tmp_path / "executed", tmp_path / f"w{suffix}"
        if payload == "raw":
            file.write_bytes(pickle.dumps({"0.weight": Bomb(mark)}, protocol=2))
        else:
            torch.save({"0.weight": Bomb(mark)}, file)
        with pytest.raises(WeightsError, match=f"w{suffix}"):
            read_weights(file)
        assert not mark.exists()
        pickle.loads(pickle.dumps(Bomb(mark)))
        assert mark.exists(), "the bomb of this test does not work"

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    @pytest.mark.parametrize("content", [b"", b"garbage", b"\x80", b"PK\x03\x04" + b"\0" * 50])
    def test_garbage(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        (tmp_path / f"w{suffix}").write_bytes(content)
        with pytest.raises(WeightsError, match=rf"w\{suffix} "):
            read_weights(tmp_path / f"w{suffix}")

    def test_a_text_is_not_taken_for_a_pickled_model(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("a note")
        with pytest.raises(WeightsError, match=r"notes\.txt cannot be read as weights"):
            read_weights(tmp_path / "notes.txt")

    @pytest.mark.parametrize("keep", [0.2, 0.9])
    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_a_cut_off_file(self, tmp_path: Path, suffix: str, keep: float) -> None:
        file = tmp_path / f"w{suffix}"
        torch.save(filled(), file) if suffix == ".pt" else save_file(filled(), file)
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            read_weights(file)

    @pytest.mark.parametrize("value", [3, [torch.zeros(1)], {"a": 3}, {"a": {"b": 1}}])
    def test_not_a_state_dict(self, tmp_path: Path, value: object) -> None:
        torch.save(value, tmp_path / "w.pt")
        with pytest.raises(WeightsError, match="is not a state dict"):
            read_weights(tmp_path / "w.pt")

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"There are no weights at .*no\.pt"):
            read_weights(tmp_path / "no.pt")
        with pytest.raises(WeightsError, match="no weights in the folder"):
            read_weights(tmp_path)


class TestRequest:
    @staticmethod
    def published():
        return filled(), "Published v1"

    @staticmethod
    def unreachable():
        raise WeightsError("hub.invalid cannot be reached: no route.")

    def test_auto_takes_the_published_ones(self) -> None:
        module = net()
        loaded = WeightsRequest("auto").load(module, published=self.published)
        assert (loaded.source, loaded.detail, loaded.fell_back) == (
            "published",
            "Published v1",
            False,
        )
        assert is_filled(module)

    def test_auto_falls_back_and_says_why(self) -> None:
        loaded = WeightsRequest("auto").load(net(), published=self.unreachable)
        assert (loaded.source, loaded.fell_back) == ("random", True)
        assert "no route" in loaded.detail

    def test_where_nothing_is_published_auto_is_no_fall_back(self) -> None:
        loaded = WeightsRequest("auto").load(net(), published=None)
        assert (loaded.source, loaded.fell_back) == ("random", False)
        assert "none are published" in loaded.detail
        found, loaded = WeightsRequest("auto").find(published=None, local=lambda path: path)
        assert found is None and loaded.fell_back  # Some backbones train a small network instead.
        assert loaded.detail == "none are published for this backbone."

    @pytest.mark.parametrize("published", [None, "unreachable"])
    def test_pretrained_insists(self, published: str | None) -> None:
        source = self.unreachable if published else None
        with pytest.raises(WeightsError, match="Give --weights PATH"):
            WeightsRequest("pretrained").load(net(), published=source)

    @pytest.mark.parametrize("choice, source", [("none", "random"), ("run", "run")])
    def test_none_asks_nobody(self, choice: str, source: str) -> None:
        def forbidden():
            raise AssertionError("the hub was asked")

        module = net()
        loaded = WeightsRequest(choice).load(module, published=forbidden)
        assert (loaded.source, loaded.fell_back) == (source, False)
        assert not is_filled(module)

    @pytest.mark.parametrize("choice", ["auto", "pretrained"])
    def test_published_weights_that_do_not_fit_are_an_error(self, choice: str) -> None:
        with pytest.raises(WeightsError, match="Published v1 does not fit"):
            WeightsRequest(choice).load(nn.Linear(1, 1), published=self.published)

    def test_a_path(self, tmp_path: Path) -> None:
        torch.save(filled(), tmp_path / "w.pt")
        module = net()
        loaded = WeightsRequest(str(tmp_path / "w.pt")).load(module, published=None)
        assert loaded.source == str(tmp_path / "w.pt")
        assert is_filled(module)

    @pytest.mark.parametrize("path", ["../typo.pt", "../typo", "runs/typo.pt", "a--b/c", ".a/b-"])
    def test_a_path_is_not_looked_for_on_the_hub(self, path: str, monkeypatch) -> None:
        monkeypatch.setattr("mmft_core.weights.http.is_there", lambda *_: pytest.fail("was asked"))
        with pytest.raises(WeightsError, match=f"There are no weights at {path}"):
            WeightsRequest(path).load(net(), published=None)

    def test_offline_nothing_is_looked_for_on_the_hub(self, monkeypatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("mmft_core.weights.http.is_there", lambda *_: pytest.fail("was asked"))
        with pytest.raises(WeightsError, match="nothing at me/no-such, and HF_HUB_OFFLINE is set"):
            WeightsRequest("me/no-such").load(net(), published=None)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}/weights.pt"


def answer(server: socket.socket, status: str, start: str = "HTTP/1.0 ") -> None:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(f"{start}{status}\r\nContent-Length: 0\r\n\r\n".encode())

    threading.Thread(target=serve, daemon=True).start()


class TestReachable:
    @pytest.fixture(autouse=True)
    def _no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)

    def test_a_server_that_answers(self, server) -> None:
        answer(server, "200 OK")
        ensure_reachable(url(server), seconds=5)

    def test_a_server_that_refuses(self, server) -> None:
        answer(server, "404 Not Found")
        with pytest.raises(WeightsError, match="cannot be reached: HTTP Error 404"):
            ensure_reachable(url(server), seconds=5)

    def test_a_closed_port(self, server) -> None:
        address = url(server)
        server.close()
        self._fails_within(3, address, seconds=3, reason="refused")

    def test_a_server_that_never_answers(self, server) -> None:
        self._fails_within(2, url(server), seconds=0.5, reason=r"did not answer|timed out")

    def test_a_name_that_takes_for_ever_to_resolve(self, monkeypatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(10))
        self._fails_within(
            2, "http://hub.invalid/x", seconds=0.5, reason=r"did not answer within 0\.5 s"
        )

    def test_a_server_that_speaks_something_else(self, server) -> None:
        answer(server, "", start="SSH-2.0-OpenSSH ")
        self._fails_within(3, url(server), seconds=3, reason="cannot be reached: SSH-2.0")

    @pytest.mark.parametrize("address", ["http://", "nonsense", "http://127.0.0.1:99999/"])
    def test_no_address(self, address: str) -> None:
        self._fails_within(2, address, seconds=3, reason="cannot be reached")

    @staticmethod
    def _fails_within(limit: float, address: str, *, seconds: float, reason: str) -> None:
        started = time.perf_counter()
        with pytest.raises(WeightsError, match=reason):
            ensure_reachable(address, seconds)
        assert time.perf_counter() - started < limit
