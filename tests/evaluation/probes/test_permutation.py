"""The permutation probe on models whose answer is known, and on files that break and go on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

import tiny_families as tiny
from videojam.data.config import FolderSource, WorldSource
from videojam.errors import VideoJamError
from videojam.evaluation.intervals import paired_difference
from videojam.evaluation.probes.clips import ReadSize, probe_clips, read_in_order, source_of
from videojam.evaluation.probes.forward import ForwardConfig
from videojam.evaluation.probes.permutation import permutation_of, permutation_probe, summarise
from videojam.evaluation.probes.record import load_probe
from videojam.families.wan import WanFamily
from videojam.joint.convert import convert
from videojam.models.load import load_model
from videojam.motion.video import write_video
from videojam.world import WorldConfig

WORLD = WorldConfig(num_frames=9, pixel_px=4)
SHORT = ForwardConfig(times=(0.3, 0.8))


def world(num_clips: int, seed: int = 3) -> WorldSource:
    return WorldSource(num_clips=num_clips, seed=seed, world=WORLD)


def losses(result, kind: str, order: str) -> np.ndarray:
    return np.array([clip["losses"][kind][order] for clip in result["clips"]])


class FrameWise(WanFamily):
    """Predicts x_σ/σ: its error against ε − x is x/σ, whatever the noise and the order of frames."""

    def denoise(self, transformer, xd_sigma, sigma, cond):
        return xd_sigma / sigma.reshape(-1, 1, 1, 1, 1)


class Neighbours(WanFamily):
    """Takes each frame for the mean of the frames beside it, so it is right where motion is smooth."""

    def denoise(self, transformer, xd_sigma, sigma, cond):
        sigma = sigma.reshape(-1, 1, 1, 1, 1)
        x = (xd_sigma.roll(1, dims=2) + xd_sigma.roll(-1, dims=2)) / (2 * (1 - sigma))
        return (xd_sigma - (1 - sigma) * x) / sigma - x


def brightening(folder, num_clips) -> FolderSource:
    """Clips that brighten and darken again: each frame is about the mean of those beside it."""
    for number in range(num_clips):
        grey = 40 + (10 + 8 * number) * torch.tensor([0, 1, 2, 3, 4, 4, 3, 2, 1])
        video = grey.to(torch.uint8).view(9, 1, 1, 1).expand(9, 3, 32, 32)
        write_video(folder / f"{number}.mp4", video, 8.0)
        (folder / f"{number}.txt").write_text("a grey square brightens\n")
    return FolderSource(path=folder, num_frames=9, height=32, width=32, fps=8.0)


def with_family(model, kind):
    """The model with another denoiser, behind a real autoencoder that encodes frame by frame."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, False, False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    ).eval()
    with torch.no_grad():
        for layer in vae.modules():
            if isinstance(layer, torch.nn.Conv3d) and layer.kernel_size[0] > 1:
                layer.weight[:, :, :-1] = 0  # no look at the frames before
    model.pipeline.vae, model.pipeline.vae_scale_factor_temporal = vae, 1
    fields = {name: getattr(model.family, name) for name in model.family.__dataclass_fields__}
    return replace(model, family=kind(**fields))


def test_a_model_that_ignores_time_has_no_gap_and_one_that_uses_it_has(tiny_wan, tmp_path):
    blind = with_family(load_model(tiny_wan), FrameWise)
    result = permutation_probe(blind, world(3), tmp_path / "blind.json", SHORT)
    ordered, permuted = (losses(result, "appearance", order) for order in ("ordered", "permuted"))
    assert ordered.min() > 1e-3
    np.testing.assert_allclose(permuted, ordered, rtol=1e-5)  # the same terms, summed in another order
    for line in result["summary"]:
        assert line["gap"]["mean"] == pytest.approx(0, abs=1e-5 * line["ordered"])

    aware = with_family(load_model(tiny_wan), Neighbours)
    source = brightening(tmp_path / "clips", 5)
    result = permutation_probe(aware, source, tmp_path / "aware.json", ForwardConfig(times=(0.999,)))
    assert (losses(result, "appearance", "permuted") > losses(result, "appearance", "ordered")).all()
    (line,) = result["summary"]
    assert line["gap"]["low"] > 0


def test_the_gap_is_paired():
    """What makes a clip hard is in both orders, and drops out of the interval."""
    difficulty = [1.0, 100.0, 1000.0, 10_000.0]
    rows = [{"losses": {"appearance": {"ordered": [v], "permuted": [v + 0.5]}}} for v in difficulty]
    (line,) = summarise(rows, (0.5,))
    assert (line["gap"]["mean"], line["gap"]["low"], line["gap"]["high"]) == (0.5, 0.5, 0.5)
    assert line["ordered"] == np.mean(difficulty)
    assert line["gap"]["n"] == 4


def test_the_summary_is_of_the_clips_in_the_file(tiny_wan, tmp_path):
    result = permutation_probe(load_model(tiny_wan), world(4), tmp_path / "a.json", SHORT)
    assert json.loads((tmp_path / "a.json").read_text()) == result
    assert result["complete"]
    assert [line["t"] for line in result["summary"]] == [0.3, 0.8]
    ordered, permuted = (losses(result, "appearance", order) for order in ("ordered", "permuted"))
    for i, line in enumerate(result["summary"]):
        expected = paired_difference(permuted[:, i], ordered[:, i])
        assert (line["gap"]["mean"], line["gap"]["low"]) == (expected.mean, expected.low)
    assert set(result["versions"]) == {"videojam", "torch", "diffusers", "transformers"}
    assert result["settings"]["weights"]["transformer"]
    assert (permuted != ordered).all()  # a random network does see the difference


def test_flow_of_a_permuted_world_clip_is_exact():
    """Frames are those of the clip in the new order, and the flow carries the mover to where it is next."""
    source = WorldSource(num_clips=5, world=WORLD)
    for clip in probe_clips(source)[0]:
        content = read_in_order(clip, source)
        same = read_in_order(clip, source, range(9))
        assert torch.equal(same.video, content.video)
        assert torch.equal(same.flow, content.flow)
        order = permutation_of(clip, 9, seed=0)
        permuted = read_in_order(clip, source, order)
        assert torch.equal(permuted.video, content.video[order])
        for frame, flow in enumerate(permuted.flow):
            ys, xs = flow.abs().sum(0).nonzero().T
            u, v = flow[:, ys, xs].long()
            now, after = permuted.video[frame, 0], permuted.video[frame + 1, 0]
            assert torch.equal(now[ys, xs], after[ys + v, xs + u])
            assert (now != after).any() == bool(len(ys))


def test_permutations_are_of_clip_and_seed_and_never_the_clip_itself():
    clips = probe_clips(world(30))[0]
    for clip in clips:
        assert permutation_of(clip, 2, seed=0) == [1, 0]
        assert sorted(permutation_of(clip, 9, seed=0)) == list(range(9))
    orders = {tuple(permutation_of(clip, 9, seed)) for clip in clips for seed in (0, 1)}
    assert len(orders) > 50
    assert permutation_of(clips[3], 9, 1) == permutation_of(probe_clips(world(4))[0][3], 9, 1)


def test_fresh_joint_model_has_the_losses_of_its_base(tiny_wan, tiny_joints, tmp_path):
    """Zero columns read nothing of the motion: identity 1."""
    base = permutation_probe(load_model(tiny_wan), world(2), tmp_path / "base.json", SHORT)
    joint = permutation_probe(load_model(tiny_joints["t2v"]), world(2), tmp_path / "joint.json", SHORT)
    assert list(joint["clips"][0]["losses"]) == ["appearance", "motion", "appearance_null_motion"]
    assert list(base["clips"][0]["losses"]) == ["appearance"]
    for order in ("ordered", "permuted"):
        expected = losses(base, "appearance", order)
        np.testing.assert_array_equal(losses(joint, "appearance", order), expected)
        np.testing.assert_array_equal(losses(joint, "appearance_null_motion", order), expected)


def test_trained_joint_model_reads_its_motion(trained_joint, tmp_path):
    result = permutation_probe(trained_joint, world(2), tmp_path / "a.json", SHORT)
    assert (
        losses(result, "appearance", "ordered") != losses(result, "appearance_null_motion", "ordered")
    ).all()
    assert (losses(result, "motion", "ordered") != losses(result, "motion", "permuted")).all()


def test_batches_change_rounding_alone(trained_joint, tmp_path):
    one, many = (
        permutation_probe(
            trained_joint, world(3), tmp_path / f"{size}.json", SHORT.model_copy(update={"batch_size": size})
        )
        for size in (1, 3)
    )
    for kind in ("appearance", "motion", "appearance_null_motion"):
        for order in ("ordered", "permuted"):
            np.testing.assert_allclose(losses(one, kind, order), losses(many, kind, order), rtol=1e-4)


class StopNowError(Exception):
    pass


def test_a_broken_run_goes_on_where_it_stood(tiny_wan, tmp_path):
    model, config = load_model(tiny_wan), ForwardConfig(times=(0.5,), batch_size=1)
    whole = permutation_probe(model, world(3), tmp_path / "whole.json", config)

    def stop_at_two(done, total):
        if done == 2:
            raise StopNowError

    with pytest.raises(StopNowError):
        permutation_probe(model, world(3), tmp_path / "broken.json", config, progress=stop_at_two)
    begun = tmp_path / "broken.unfinished.jsonl"
    lines = [json.loads(line) for line in begun.read_text().splitlines()]
    assert [line["key"] for line in lines[1:]] == [row["key"] for row in whole["clips"][:2]]
    with pytest.raises(VideoJamError, match="run the probe again"):
        load_probe(tmp_path / "broken.json")
    with pytest.raises(VideoJamError, match="seed = 0"):
        permutation_probe(model, world(3), tmp_path / "broken.json", config.model_copy(update={"seed": 1}))
    with begun.open("a") as file:
        file.write('{"key": "torn')  # killed in the middle of a line
    steps = []
    resumed = permutation_probe(
        model, world(3), tmp_path / "broken.json", config, progress=lambda done, total: steps.append(done)
    )
    assert steps == [2, 3]
    assert resumed == whole
    assert not begun.exists()
    more = permutation_probe(model, world(4), tmp_path / "broken.json", config)
    assert more["clips"][:3] == whole["clips"]
    assert more["num_clips"] == 4
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("change", "named"), [({"seed": 1}, "seed = 0"), ({"times": (0.4,)}, "times = ")])
def test_other_settings_are_refused_by_name(tiny_wan, tmp_path, change, named):
    model, path = load_model(tiny_wan), tmp_path / "a.json"
    permutation_probe(model, world(1), path, ForwardConfig(times=(0.5,)))
    before = path.read_text()
    with pytest.raises(VideoJamError, match=named):
        permutation_probe(model, world(1), path, ForwardConfig(**{"times": (0.5,), **change}))
    with torch.no_grad():
        model.pipeline.transformer.proj_out.weight.add_(1)
    with pytest.raises(VideoJamError, match="weights"):
        permutation_probe(model, world(1), path, ForwardConfig(times=(0.5,)))
    assert path.read_text() == before


def folder_of(tmp_path) -> FolderSource:
    """A still clip, where permuting changes nothing, and one that moves."""
    still = torch.full((9, 3, 32, 32), 90, dtype=torch.uint8)
    moving = still.clone()
    for i in range(9):
        moving[i, 0, 8:20, 2 * i : 2 * i + 10] = 250
    for name, video in (("still", still), ("moving", moving)):
        write_video(tmp_path / "clips" / f"{name}.mp4", video, 8.0)
        (tmp_path / "clips" / f"{name}.txt").write_text("a red ball moves right\n")
    return FolderSource(path=tmp_path / "clips", num_frames=9, height=32, width=32, fps=8.0)


def test_clips_of_a_folder_a_still_one_has_no_gap_at_all(trained_joint, tmp_path):
    config = SHORT.model_copy(update={"estimator": "dis"})
    result = permutation_probe(trained_joint, folder_of(tmp_path), tmp_path / "a.json", config)
    gaps = {
        clip["name"].rpartition("/")[2]: [
            np.subtract(pair["permuted"], pair["ordered"]) for pair in clip["losses"].values()
        ]
        for clip in result["clips"]
    }
    assert (np.array(gaps["still.mp4"]) == 0).all()
    assert (np.array(gaps["moving.mp4"]) != 0).all()


def test_a_clip_that_cannot_be_used_stops_or_is_listed(tiny_wan, tmp_path):
    source, model = folder_of(tmp_path), load_model(tiny_wan)
    (tmp_path / "clips" / "bad.mp4").write_bytes(b"not a video")
    (tmp_path / "clips" / "bad.txt").write_text("a ball")
    (tmp_path / "clips" / "still.txt").unlink()
    with pytest.raises(VideoJamError, match=r"still\.txt"):
        permutation_probe(model, source, tmp_path / "a.json", SHORT)
    source = source.model_copy(update={"on_error": "skip"})
    result = permutation_probe(model, source, tmp_path / "a.json", SHORT)
    assert [clip["name"].endswith("moving.mp4") for clip in result["clips"]] == [True]
    assert sorted(name.rpartition("/")[2] for name in result["left_out"]) == ["bad.mp4", "still.mp4"]
    assert result["summary"][0]["gap"]["low"] is None  # one clip has no interval
    (tmp_path / "clips" / "moving.mp4").unlink()
    with pytest.raises(VideoJamError, match="at least one clip"):
        permutation_probe(model, source, tmp_path / "b.json", SHORT)


def test_exact_flow_of_a_file_is_refused(tiny_wan, tmp_path):
    from videojam.motion.code import MotionCode

    joint = load_model(convert(tiny_wan, tmp_path / "joint", motion=MotionCode(estimator="exact")))
    with pytest.raises(VideoJamError, match="raft or dis"):
        permutation_probe(joint, folder_of(tmp_path), tmp_path / "a.json", SHORT)


def test_a_loss_that_is_nan_names_clip_and_time(tiny_wan, tmp_path):
    model = load_model(tiny_wan)
    with torch.no_grad():
        model.pipeline.transformer.proj_out.bias.fill_(torch.nan)
    with pytest.raises(VideoJamError, match=r"world seed 3.*t = 0\.3"):
        permutation_probe(model, world(1), tmp_path / "a.json", SHORT)


def test_experts_are_each_asked_at_their_own_times(tiny_wan_experts, tmp_path):
    """The high-noise expert has t < 0.125; a change of it changes no loss after that."""
    model, config = load_model(tiny_wan_experts), ForwardConfig(times=(0.1, 0.2, 0.9))
    before = losses(permutation_probe(model, world(1), tmp_path / "a.json", config), "appearance", "ordered")
    with torch.no_grad():
        model.pipeline.transformer.proj_out.weight.mul_(3)
    after = losses(permutation_probe(model, world(1), tmp_path / "b.json", config), "appearance", "ordered")
    assert (before == after).tolist() == [[False, True, True]]


def test_image_to_video_bases_read_the_first_frame(tiny_wan_i2v, tmp_path):
    result = permutation_probe(load_model(tiny_wan_i2v), world(1), tmp_path / "a.json", SHORT)
    assert np.isfinite(losses(result, "appearance", "permuted")).all()


@tiny.every_family
def test_every_family_converted_or_not(write, frames, side, tmp_path):
    base = write(tmp_path / "base")
    joint = convert(base, tmp_path / "joint")
    source = WorldSource(num_clips=1, world=WorldConfig(num_frames=frames, pixel_px=side // 8))
    of_base, of_joint = (
        permutation_probe(load_model(folder), source, tmp_path / f"{folder.name}.json", SHORT)
        for folder in (base, joint)
    )
    for order in ("ordered", "permuted"):
        expected = losses(of_base, "appearance", order)
        assert (expected > 0.1).all()  # noise alone has a variance of 1
        np.testing.assert_allclose(losses(of_joint, "appearance", order), expected, rtol=1e-6)


def test_data_as_users_write_it(tiny_wan):
    model = load_model(tiny_wan)
    source = source_of("world:12", model, ReadSize(9, 48, 48), world={"texture": 0.5})
    assert isinstance(source, WorldSource)
    assert (source.num_clips, source.num_frames, source.width, source.world.texture) == (12, 9, 48, 0.5)
    assert source.fps == model.family.fps
    folder = source_of("clips", model, skip_unreadable=True)
    assert isinstance(folder, FolderSource)
    assert (folder.height, folder.width, folder.num_frames) == (480, 832, 81)  # Wan's own call
    assert folder.on_error == "skip"
    with pytest.raises(VideoJamError, match="the same multiple of 8"):
        source_of("world:12", model, ReadSize(9, 32, 48))
    for bad in ("world:", "world:0", "world:-3", "world:x"):
        with pytest.raises(VideoJamError, match="world:64"):
            source_of(bad, model, ReadSize(9, 32, 32))


@pytest.mark.parametrize("times", [(), (0.0,), (1.0,), (0.5, 0.2), (0.2, 0.2)])
def test_times_that_are_none(times):
    with pytest.raises(ValueError, match="times"):
        ForwardConfig(times=times)
