"""A pipeline that this package samples from in no other way: SkyReels-V2, whose transformer it can convert only."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from diffusers import SkyReelsV2Pipeline, SkyReelsV2Transformer3DModel, UniPCMultistepScheduler
from tiny_pipelines import tiny_text_encoder, tiny_tokenizer, tiny_vae

from videojam.bench.make.arms import parse_arm
from videojam.bench.make.generate import generate_arm
from videojam.bench.manifest import read_manifest
from videojam.bench.work import Work
from videojam.errors import VideoJamError
from videojam.motion.video import read_video, write_video

SIZE = "steps=2,frames=9,height=32,width=32,w_text=4"


@pytest.fixture(scope="module")
def skyreels(tmp_path_factory):
    torch.manual_seed(0)
    transformer = SkyReelsV2Transformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16, freq_dim=16,
        ffn_dim=32, num_layers=1, rope_max_seq_len=32,
    )  # fmt: skip
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    folder = tmp_path_factory.mktemp("skyreels") / "model"
    SkyReelsV2Pipeline(
        tiny_tokenizer(), tiny_text_encoder(), transformer, tiny_vae(), scheduler
    ).save_pretrained(folder)
    return folder


def test_clips_are_those_of_the_pipeline_itself(bench, skyreels, tmp_path):
    generate_arm(bench, parse_arm(f"sky={skyreels},fps=24,{SIZE}"), Work(batch_size=3))
    manifest = read_manifest(bench, "sky")
    assert (manifest.kind, manifest.fps, manifest.facts["pipeline"]) == ("stock", 24, "SkyReelsV2Pipeline")
    item = bench.items[1]
    pipe = SkyReelsV2Pipeline.from_pretrained(skyreels)
    frames = pipe(
        item.prompt.text, num_inference_steps=2, num_frames=9, height=32, width=32, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(item.noise_seed),
    ).frames[0]  # fmt: skip
    reference = torch.from_numpy(frames * 255).round().byte().permute(0, 3, 1, 2)
    write_video(tmp_path / "reference.mp4", reference, 24)
    clip, same = read_video(bench.clip("sky", item)), read_video(tmp_path / "reference.mp4")
    assert clip.fps == 24
    assert (clip.frames.float() - same.frames.float()).abs().mean() < 1  # a batch of three and of one
    assert len({bench.clip("sky", each).read_bytes() for each in bench.items}) == 4


def test_a_rate_that_nobody_knows_and_arguments_that_it_lacks_are_asked_for(bench, skyreels):
    with pytest.raises(VideoJamError, match="fps=8"):
        generate_arm(bench, parse_arm(f"sky={skyreels},{SIZE}"))
    with pytest.raises(VideoJamError, match="window"):
        generate_arm(bench, parse_arm(f"sky={skyreels},fps=8,window=half"))


def test_what_the_pipeline_itself_refuses_is_said_in_its_words(bench, skyreels):
    with pytest.raises(VideoJamError, match=r"arm 'sky'.*ValueError: .*divisible by 16"):
        generate_arm(bench, parse_arm(f"sky={skyreels},fps=8,{SIZE.replace('height=32', 'height=33')}"))
    assert bench.arms == []


def test_frames_that_are_nan_are_no_black_clip(bench, skyreels, monkeypatch):
    nan = types.SimpleNamespace(frames=np.full((1, 9, 32, 32, 3), np.nan))
    monkeypatch.setattr(
        SkyReelsV2Pipeline, "__call__", lambda self, prompt, generator, output_type, **more: nan
    )
    with pytest.raises(VideoJamError, match="NaN or infinite"):
        generate_arm(bench, parse_arm(f"sky={skyreels},fps=8"))
