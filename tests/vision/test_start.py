"""What makes a command start late: libraries that it does not use."""

from __future__ import annotations

from pathlib import Path

from mmft_testing.tools import modules_after

UNUSED = {"datasets", "peft", "sklearn", "torchaudio"}
UNUSED |= {"mlflow", "optuna", "matplotlib", "onnx"}


def test_training_and_predicting_pictures_import_nothing_that_they_do_not_use(
    tmp_path: Path,
) -> None:
    run, picture = str(tmp_path / "run"), str(tmp_path / "digit.png")
    start = ["run", "--task", "image-cls", "--backbone", "resnet18", "--weights", "none"]
    given = ["--set", "engine.steps=1", "--set", "engine.workers=0", "--no-callback", "report"]
    imported, errors = modules_after(f"""
from PIL import Image
from mmft_core.cli import main
main({[*start, *given, "--output", run]!r})
Image.new("L", (8, 8)).save({picture!r})
main({["predict", run, picture]!r})
""")
    assert not errors
    assert "torchvision" in imported and not UNUSED & imported
