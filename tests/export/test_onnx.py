"""Operators that mmft adds to torch's ONNX exporter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmft_export.onnx_format import Onnx
from mmft_export.tracing import TensorInfo, Traced

pytest.importorskip("onnxruntime")


class Checked(nn.Module):
    """Tells whether all numbers are positive, with the operator that checks of tensors use."""

    def forward(self, numbers: Tensor) -> Tensor:
        return torch._is_all_true(numbers > 0).reshape(1)


def test_checks_of_a_network(tmp_path: Path) -> None:
    program = torch.export.export(Checked(), (torch.ones(2, 3),))
    numbers = TensorInfo(name="numbers", dtype="float32", shape=(2, 3), example=(2, 3))
    traced = Traced(
        name="model",
        program=program,
        inputs=(numbers,),
        outputs=(TensorInfo(name="positive", dtype="bool", shape=(1,)),),
    )
    onnx, file = Onnx(), tmp_path / "model.onnx"
    onnx.write_graph(traced, file)
    computed = onnx.run(file, traced.info(file.name))
    assert computed({"numbers": torch.ones(2, 3)})["positive"].tolist() == [True]
    assert computed({"numbers": torch.eye(2, 3)})["positive"].tolist() == [False]
