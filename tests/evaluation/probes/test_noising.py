"""The noising probe at its ends, with an oracle in between, and the measures on clips whose answer is known."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny_families as tiny
from videojam.data.config import WorldSource
from videojam.errors import VideoJamError
from videojam.evaluation.probes.clips import encode, probe_clips, read_in_order
from videojam.evaluation.probes.measures import appearance_agreement, flow_agreement, motion_agreement
from videojam.evaluation.probes.noising import (
    NoisingConfig,
    noise_seed,
    noising_probe,
    not_written,
    start_steps,
    summarise,
)
from videojam.families.wan import WanFamily
from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.joint.latents import join
from videojam.locks import locked
from videojam.models.load import load_model
from videojam.motion.video import read_video
from videojam.sampling.sample import sample
from videojam.sampling.twin import Start, sample_twin
from videojam.world import WorldConfig, sample_clip

WORLD = WorldConfig(num_frames=9, pixel_px=4)
SIZE = {"num_frames": 9, "height": 32, "width": 32}
FOUR = NoisingConfig(times=(0.0, 0.5, 1.0), num_steps=4)
ALL = Guidance(window=Window(end=1.0))


def world(num_clips: int, seed: int = 3) -> WorldSource:
    return WorldSource(num_clips=num_clips, seed=seed, world=WORLD)


def agreements(result, measure: str) -> np.ndarray:
    return np.array([clip["agreement"][measure] for clip in result["clips"]])


def clean_latents(model, source):
    clips = probe_clips(source)[0]
    batch = encode(model, [read_in_order(clip, source) for clip in clips], ["a ball"] * len(clips), None)
    return clips, join(batch.x, batch.d) if model.is_joint else batch.x


def test_without_noise_the_clip_comes_back_and_from_noise_alone_it_is_plain_sampling(trained_joint):
    _, clean = clean_latents(trained_joint, world(2))
    options = {"seeds": [7, 8], "guidance": ALL, "num_steps": 4, **SIZE}
    prompts = ["a ball", "a ball"]
    assert torch.equal(sample_twin(trained_joint, prompts, start=Start(clean, 4), **options), clean)
    whole = sample_twin(trained_joint, prompts, **options)
    assert torch.equal(sample_twin(trained_joint, prompts, start=Start(clean, 0), **options), whole)
    assert torch.allclose(sample(trained_joint, prompts, decode=False, **options).latents, whole, atol=1e-4)
    part = sample_twin(trained_joint, prompts, start=Start(clean, 2), **options)
    assert (part - clean).abs().max() > 0.1
    assert (part - whole).abs().max() > 0.1


def test_both_ends_in_the_file(trained_joint, tmp_path):
    result = noising_probe(trained_joint, world(2), tmp_path / "a.json", FOUR, guidance=ALL)
    assert json.loads((tmp_path / "a.json").read_text()) == result
    assert [start["step"] for start in result["settings"]["started"]] == [0, 2, 4]
    assert result["settings"]["measured_with"] == "dis"
    for measure in ("appearance", "motion", "flow", "predicted_flow"):
        values = agreements(result, measure)
        assert values[:, -1] == pytest.approx(1, abs=1e-9)
        assert (values[:, 0] < 0.99).all()
    lines = {(line["measure"], line["step"]): line for line in result["summary"]}
    floor, ceiling = agreements(result, "motion")[:, 0], agreements(result, "motion")[:, 2]
    assert lines["motion", 4]["come_back"]["mean"] == pytest.approx((ceiling - floor).mean())
    assert lines["motion", 0]["come_back"] == {"mean": 0, "low": 0, "high": 0, "n": 2}


class Oracle(WanFamily):
    """Knows the clean latents, and predicts the target exactly: ε − x = (x_σ − x)/σ."""

    def denoise(self, transformer, xd_sigma, sigma, cond):
        return (xd_sigma - self.clean) / sigma.reshape(-1, 1, 1, 1, 1)


@pytest.mark.parametrize("kind", ["tiny_wan", "tiny_wan_experts"])
def test_an_oracle_brings_the_clip_back_from_anywhere(kind, request, tmp_path):
    model = load_model(request.getfixturevalue(kind))
    fields = {name: getattr(model.family, name) for name in model.family.__dataclass_fields__}
    family = Oracle(**fields)
    object.__setattr__(family, "clean", clean_latents(model, world(2))[1])
    result = noising_probe(
        replace(model, family=family),
        world(2),
        tmp_path / "a.json",
        NoisingConfig(times=(0.3, 0.6, 0.9), num_steps=6, batch_size=2),
        guidance=Guidance(mode="cfg"),
    )
    for measure in ("appearance", "motion"):
        assert agreements(result, measure) == pytest.approx(1, abs=2e-2)
    assert "come_back" not in result["summary"][0]  # no floor was measured


def test_starts_are_the_nearest_steps_of_the_models_own_schedule(tiny_wan):
    """Euler with shift 3: s = 1, 0.668, 0.335, 0.003 and σ = 3s/(1 + 2s), so t = 0, 0.142, 0.398, 0.991."""
    starts = start_steps(load_model(tiny_wan), world(1), NoisingConfig(times=(0, 0.2, 0.4, 0.9), num_steps=4))
    assert list(starts) == [0, 1, 2, 3]
    assert list(starts.values()) == pytest.approx([0, 0.1423, 0.3978, 0.9911], abs=1e-3)
    ends = start_steps(load_model(tiny_wan), world(1), NoisingConfig(times=(0.998, 1.0), num_steps=4))
    assert ends == {4: 1.0}  # no step is left


def test_more_comes_back_from_less_noise(tiny_wan, tmp_path):
    """Even a network that knows nothing leaves the more of the clip, the less noise it starts from."""
    config = NoisingConfig(times=(0.0, 0.7, 0.9, 1.0), num_steps=10)
    result = noising_probe(load_model(tiny_wan), world(3), tmp_path / "a.json", config)
    mean = agreements(result, "appearance").mean(axis=0)
    assert (np.diff(mean) > 0).all()


def test_clips_are_written_for_looking_and_a_run_goes_on(tiny_wan, tmp_path):
    model, config = load_model(tiny_wan), FOUR.model_copy(update={"batch_size": 1})
    first = noising_probe(model, world(1), tmp_path / "a.json", config, clips_folder=tmp_path / "clips")
    names = sorted(path.name for path in (tmp_path / "clips").iterdir())
    key = first["clips"][0]["key"][:12]
    times = [start["t"] for start in first["settings"]["started"]]
    assert names == sorted([f"{key}.reference.mp4", *(f"{key}.from_t{t:.2f}.mp4" for t in times)])
    reference, last = (read_video(tmp_path / "clips" / f"{key}.{n}.mp4") for n in ("reference", "from_t1.00"))
    assert torch.equal(reference.frames, last.frames)
    assert not_written(tmp_path / "clips", first) == []
    both = noising_probe(model, world(2), tmp_path / "a.json", config)
    assert not_written(tmp_path / "clips", both) == [both["clips"][1]["name"]]  # made without a folder for it
    assert both["clips"][0] == first["clips"][0]
    assert both == noising_probe(model, world(2), tmp_path / "b.json", config)


def test_a_file_in_the_place_of_the_clips_is_refused_before_anything_is_measured(tiny_wan, tmp_path):
    (tmp_path / "clips").write_text("mine")
    with pytest.raises(VideoJamError, match="a file"):
        noising_probe(
            load_model(tiny_wan), world(1), tmp_path / "a.json", FOUR, clips_folder=tmp_path / "clips"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


def test_two_probes_into_one_file_are_refused(tiny_wan, tmp_path):
    model = load_model(tiny_wan)
    with locked(tmp_path, "probe-a"), pytest.raises(VideoJamError, match=f"process {os.getpid()} on host"):
        noising_probe(model, world(1), tmp_path / "a.json", FOUR)


def test_other_guidance_is_refused(trained_joint, tmp_path):
    noising_probe(trained_joint, world(1), tmp_path / "a.json", FOUR, guidance=ALL)
    with pytest.raises(VideoJamError, match="guidance"):
        noising_probe(trained_joint, world(1), tmp_path / "a.json", FOUR, guidance=Guidance(mode="cfg"))


def test_image_to_video_is_refused(tiny_wan_i2v, tmp_path):
    with pytest.raises(VideoJamError, match="text-to-video"):
        noising_probe(load_model(tiny_wan_i2v), world(1), tmp_path / "a.json", FOUR)


@tiny.every_family
def test_every_family(write, frames, side, tmp_path):
    model = load_model(write(tmp_path / "base"))
    source = WorldSource(num_clips=1, world=WorldConfig(num_frames=frames, pixel_px=side // 8))
    result = noising_probe(model, source, tmp_path / "a.json", NoisingConfig(times=(0.5, 1.0), num_steps=3))
    assert agreements(result, "motion")[0, -1] == pytest.approx(1, abs=1e-9)
    assert agreements(result, "motion")[0, 0] < 0.999


def test_noise_is_of_clip_and_seed():
    clips = probe_clips(world(3))[0]
    assert len({noise_seed(clip, seed) for clip in clips for seed in (0, 1)}) == 6
    assert noise_seed(clips[2], 0) == noise_seed(probe_clips(world(1, seed=5))[0][0], 0)


def test_appearance_agreement_is_blind_to_order_and_motion_agreement_is_not():
    clip = sample_clip(3, WORLD)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    shuffled = clip.video[order]
    assert appearance_agreement(shuffled, clip.video) == pytest.approx(1, abs=1e-12)
    assert motion_agreement(shuffled, clip.video) < 0.9
    still = clip.video[4:5].expand(9, -1, -1, -1)
    assert motion_agreement(still, clip.video) == 0
    assert 0.5 < appearance_agreement(still, clip.video) < 1


def test_another_colour_spares_motion_and_an_opposite_flow_does_not():
    clip = sample_clip(3, WORLD)
    dimmed = (clip.video // 2 + 20).to(torch.uint8)
    assert motion_agreement(dimmed, clip.video) > 0.999  # brightness and contrast are no motion
    assert motion_agreement(255 - clip.video, clip.video) == pytest.approx(-1, abs=1e-9)
    assert flow_agreement(2 * clip.flow, clip.flow) == pytest.approx(1)
    assert flow_agreement(-clip.flow, clip.flow) == pytest.approx(-1)
    turned = torch.stack([-clip.flow[:, 1], clip.flow[:, 0]], dim=1)
    assert flow_agreement(turned, clip.flow) == pytest.approx(0, abs=1e-6)
    assert flow_agreement(torch.zeros_like(clip.flow), clip.flow) == 0


def test_come_back_is_paired():
    rows = [{"agreement": {"motion": [floor, floor + 0.25]}} for floor in (-0.5, 0.0, 0.5)]
    line = summarise(rows, {0: 0.0, 3: 0.6})[1]
    assert line["come_back"] == {"mean": 0.25, "low": 0.25, "high": 0.25, "n": 3}
    assert line["agreement"]["low"] < line["agreement"]["mean"] == 0.25
