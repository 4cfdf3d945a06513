"""The README's own four commands, on a folder of five mp4 files and a tiny random Wan pipeline."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from moving_clips import moving_clip
from videojam.cli import app
from videojam.motion.video import write_video

ROOT = Path(__file__).parents[2]
HUB_ID = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
# What a CPU needs a smaller share of, and an estimator without a download; nothing else of the recipe is changed.
SMALL = {
    "num_steps": 2, "precision": "fp32", "lora.rank": 4, "motion.estimator": "dis", "data.max_sequence_length": 16,
    "data.source.num_frames": 5, "data.source.height": 32, "data.source.width": 48, "data.source.fps": 8,
}  # fmt: skip


def commands() -> list[list[str]]:
    """The lines of the README's block, as words."""
    (block,) = re.findall(
        r"<!-- own-model:start -->\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with the recipes and, as the README says, five clips with their captions."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "clips").mkdir()
    for i in range(5):
        clip = moving_clip(i)
        write_video(tmp_path / f"clips/clip{i}.mp4", clip.video[:17], 12)
        (tmp_path / f"clips/clip{i}.txt").write_text(clip.caption)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_four_commands_of_the_readme(checkout, tiny_wan):
    inspect, train, verify, generate = (
        [str(tiny_wan) if word == HUB_ID else word for word in words] for words in commands()
    )
    train += [f"{key}={value}" for key, value in {"base": tiny_wan, **SMALL}.items()]
    generate += ["--steps", "2", "--frames", "5", "--height", "32", "--width", "48"]
    for words in (inspect, train, verify, generate):
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == 0, f"{words}: {result.output}"
    made = {path.suffix for path in (checkout / "out/dance").iterdir()}
    assert {".mp4", ".safetensors", ".json"} <= made


def test_the_python_of_the_readme(monkeypatch):
    import videojam

    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.setattr(videojam, "sample", partial(videojam.sample, num_steps=2), raising=False)
    names: dict[str, Any] = {}
    exec(code, names)
    output = names["output"]
    assert output.video.shape == output.motion_video.shape == (1, 6, 3, 64, 64)
    assert output.flow.shape == (1, 5, 2, 64, 64)
