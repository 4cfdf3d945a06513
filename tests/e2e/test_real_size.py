"""The real sizes: the default AutoencoderKLWan and the Wan 2.1 1.3B transformer, with random weights.

Takes some minutes and about 20 GB of memory: `pytest -m slow tests/e2e/test_real_size.py -s` prints the peaks.
"""

from __future__ import annotations

import json
import resource
import time

import pytest
import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
from tiny_pipelines import tiny_text_encoder, tiny_tokenizer

from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.joint.convert import convert
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.sampling.sample import sample
from videojam.training.config import TrainConfig
from videojam.training.run import train

pytestmark = pytest.mark.slow


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@pytest.fixture(scope="module")
def wan_1_3b(tmp_path_factory):
    """Wan 2.1 T2V 1.3B's transformer config in bf16 on disk, sharded; text encoder of its width, but tiny."""
    folder = tmp_path_factory.mktemp("real") / "wan"
    with torch.device("meta"):
        transformer = WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=30)
    transformer = transformer.to_empty(device="cpu").to(torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    for parameter in transformer.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    transformer.rope = type(transformer.rope)(128, (1, 2, 2), 1024)
    WanPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=tiny_text_encoder(width=4096).to(torch.bfloat16),
        vae=AutoencoderKLWan(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ).save_pretrained(folder, max_shard_size="1GB")
    return folder


def test_convert_train_and_sample_at_the_size_of_wan_1_3b(wan_1_3b, tmp_path):
    index = json.loads(
        (wan_1_3b / "transformer" / "diffusion_pytorch_model.safetensors.index.json").read_text()
    )
    assert len(set(index["weight_map"].values())) >= 3
    started, before = time.perf_counter(), peak_gib()
    convert(wan_1_3b, tmp_path / "joint", motion=MotionCode(estimator="dis"))
    print(
        f"\nconvert: {time.perf_counter() - started:.0f} s, peak memory {before:.1f} -> {peak_gib():.1f} GiB"
    )

    world = {"num_frames": 9}
    config = TrainConfig.model_validate(
        {
            "base": str(tmp_path / "joint"),
            "out": str(tmp_path / "run"),
            "data": {
                "source": {"kind": "world", "num_clips": 2, "world": world},
                "cache": str(tmp_path / "cache"),
                "num_heldout": 1,
                "max_sequence_length": 32,
            },
            "motion": {"estimator": "dis"},
            "lora": {"rank": 8},
            "num_steps": 1,
            "validate_t": [0.5],
            "ema_decay": 0.0,
            "gradient_checkpointing": True,
        }
    )
    started = time.perf_counter()
    assert train(config).ok
    print(
        f"one LoRA step, export and verify: {time.perf_counter() - started:.0f} s, peak {peak_gib():.1f} GiB"
    )

    started = time.perf_counter()
    model = load_model(tmp_path / "run" / "model", torch_dtype=torch.bfloat16)
    output = sample(
        model,
        ["a red ball moves over the wheel"],
        num_frames=5,
        height=64,
        width=64,
        num_steps=2,
        max_sequence_length=32,
        guidance=Guidance(window=Window(end=1.0)),
    )
    assert output.latents.shape == (1, 32, 2, 8, 8)
    assert output.flow.shape == (1, 4, 2, 64, 64)
    print(f"two Inner-Guidance steps: {time.perf_counter() - started:.0f} s, peak {peak_gib():.1f} GiB")
