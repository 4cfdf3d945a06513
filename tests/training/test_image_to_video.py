"""An image-to-video base is trained with its condition; the motion half has none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import tiny_pipelines as tiny
import torch
from diffusers import LTXConditionPipeline
from PIL import Image

from tiny_families import write_tiny_ltx
from videojam.data.cache import read_encoded
from videojam.data.config import DataConfig
from videojam.data.encode import prepare
from videojam.data.encoded import read_batch
from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.guidance.config import Guidance
from videojam.joint.batch import Batch
from videojam.joint.latents import null_motion
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.objective.config import ObjectiveConfig
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import draw
from videojam.sampling.sample import decode_halves, sample
from videojam.training.config import TrainConfig
from videojam.training.new_rate import new_entries
from videojam.training.run import train


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "clip"])
def base(request, tmp_path_factory):
    return tiny.write_tiny_wan(tmp_path_factory.mktemp("i2v") / "base", image=True, clip=request.param)


def first_frame(video):
    return Image.fromarray(((video[0, :, 0] + 1) * 127.5).round().to(torch.uint8).movedim(0, 2).numpy())


def test_the_condition_is_what_the_stock_call_gives_its_network(base):
    model = load_model(base)
    video = (torch.randint(0, 256, (1, 3, 9, 32, 32)) / 127.5 - 1).float()
    seen = []
    handle = model.pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    size = {"num_frames": 9, "height": 32, "width": 32, "max_sequence_length": 8}
    none = Guidance(mode="none")
    sample(model, ["a"], num_steps=1, image=first_frame(video), guidance=none, decode=False, **size)
    handle.remove()
    cond = model.family.encode_image(model.pipeline, video)
    assert torch.allclose(seen[0]["hidden_states"][:, 4:], cond["condition"], atol=1e-4)
    states = seen[0]["encoder_hidden_states_image"]
    assert ("encoder_hidden_states_image" in cond) == (states is not None)
    if states is not None:
        assert torch.allclose(states, cond["encoder_hidden_states_image"], atol=1e-4)


def test_a_joint_step_reads_the_condition_in_dropped_rows_too(base, recipe):
    model = load_model(base)
    data = prepare(model, DataConfig.model_validate(recipe["data"]), MotionCode(estimator="exact"))
    assert "image.condition" in read_encoded(data.clips[0].path)
    batch = read_batch(data.clips[:2], "cpu")
    transformer = widen_transformer(model.pipeline.transformer)
    seen = []
    transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
    )
    denoiser = Denoiser(transformer, model.family, True, data.null_text)
    draws = draw(ObjectiveConfig(text_dropout=1.0, motion_dropout=1.0), 0, 0, 2, tuple(batch.x.shape[1:]))
    x_loss, d_loss = denoiser.losses(batch, draws)
    assert torch.isfinite(torch.stack([x_loss, d_loss])).all()
    assert torch.equal(seen[0][:, 8:], batch.text["condition"])  # [x, d, mask, condition]
    assert torch.equal(seen[0], null_motion(seen[0], num_channels=4))
    assert batch.text["condition"][:, :4, 0].all()  # the mask marks the first frame
    assert not batch.text["condition"][:, :4, 1:].any()


def test_a_run_on_an_image_to_video_base_ends_in_one(base, recipe, tmp_path):
    config = TrainConfig.model_validate({**recipe, "base": str(base), "num_steps": 2})
    assert train(config).ok
    model = load_model(config.out / "model")
    assert model.is_joint
    assert model.pipeline.transformer.config.in_channels == 16
    size = {"num_frames": 9, "height": 32, "width": 32, "max_sequence_length": 8, "num_steps": 2}
    out = sample(model, ["a"], image=Image.linear_gradient("L").resize((32, 32)).convert("RGB"), **size)
    assert out.flow.shape == (1, 8, 2, 32, 32)


WRITE = {
    "wan-ti2v": partial(tiny.write_tiny_wan, expand_timesteps=True, image=True),
    "ltx": partial(write_tiny_ltx, image=True),
}


@pytest.mark.parametrize("kind", WRITE)
def test_given_tokens_have_timestep_0_null_motion_and_no_loss(kind, tmp_path):
    model = load_model(WRITE[kind](tmp_path / "base"))
    family, pipe = model.family, model.pipeline
    side = 64 if kind == "ltx" else 32
    video = torch.rand(2, 3, 9, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x, d = family.encode_video(pipe, video), family.encode_video(pipe, video.flip(2))
    text = family.encode_prompts(pipe, ["a", "red ball"], 8) | family.encode_image(pipe, video)
    transformer = widen_transformer(pipe.transformer)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, mask in new_entries(transformer, family).items():
            parameter = transformer.get_parameter(name)
            parameter.add_(mask * torch.randn(parameter.shape, generator=generator))
    seen = []
    transformer.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    denoiser = Denoiser(transformer, family, True, family.encode_prompts(pipe, [""], 8))
    draws = draw(ObjectiveConfig(text_dropout=0.0, motion_dropout=0.0), 0, 0, 2, tuple(x.shape[1:]))

    @torch.no_grad()
    def losses(x, d, eps_x=draws.eps_x, eps_d=draws.eps_d):
        return torch.stack(denoiser.losses(Batch(x, d, text), replace(draws, eps_x=eps_x, eps_d=eps_d)))

    before = losses(x, d)
    xd = family.unpack(transformer, seen[0]["hidden_states"], x)
    assert torch.equal(xd[:, :4, 0], text["first_latent"][:, :4, 0])
    assert not xd[:, x.shape[1] :, 0].any()
    assert xd[:, :, 1:].all()
    times = seen[0]["timestep"].unflatten(1, (x.shape[2], -1))
    assert not times[:, 0].any()
    assert torch.allclose(times[:, 1:], (1000 * draws.sigma)[:, None, None].expand_as(times[:, 1:]))

    def changed(tensor, frame):
        tensor = tensor.clone()
        tensor[:, :, frame] += 1
        return tensor

    assert torch.equal(
        before, losses(*(changed(z, 0) for z in (x, d)), *(changed(z, 0) for z in (draws.eps_x, draws.eps_d)))
    )
    assert (losses(changed(x, 1), d)[0] != before[0]).all()
    assert (losses(x, changed(d, 1))[1] != before[1]).all()

    control = Denoiser(load_model(tmp_path / "base").pipeline.transformer, family, False, denoiser.null_text)
    with torch.no_grad():
        (plain,) = control.losses(Batch(x, d, text), draws)
        (same,) = control.losses(Batch(changed(x, 0), d, text), draws)
    assert torch.equal(plain, same)


@pytest.mark.parametrize(("kind", "side"), [("wan-ti2v", 32), ("ltx", 64)])
def test_a_base_that_does_both_is_trained_and_sampled_as_image_to_video(kind, side, recipe, tmp_path):
    write = {"wan-ti2v": partial(tiny.write_tiny_wan, expand_timesteps=True), "ltx": write_tiny_ltx}[kind]
    content = {**recipe, "base": str(write(tmp_path / "t2v")), "num_steps": 2, "image_to_video": True}
    world = {**content["data"]["source"]["world"], "pixel_px": side // 8}
    source = {**content["data"]["source"], "world": world}
    content["data"] = {**content["data"], "source": source, "cache": str(tmp_path / "cache")}
    config = TrainConfig.model_validate(content)
    assert train(config).ok
    (cached,) = [path.parent for path in Path(config.data.cache).rglob("config.json")]
    clip = read_encoded(next(cached.glob("*.safetensors")))
    assert clip["image.first_latent"].shape == (clip["x"].shape[0], 1, *clip["x"].shape[2:])
    model = load_model(config.out / "model")
    assert not model.family.takes_image(model.pipeline)
    size = {"num_frames": 9, "height": side, "width": side, "max_sequence_length": 8, "num_steps": 2}
    image = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    given = sample(model, ["a"], image=image, **size)
    num_channels = clip["x"].shape[0]
    assert not given.latents[:, num_channels:, 0].any()
    assert given.flow.shape == (1, 8, 2, side, side)
    free = sample(model, ["a"], **size).latents
    assert free[:, num_channels:, 0].all()


@torch.no_grad()
def test_null_motion_of_the_first_frame_is_decoded_as_a_still_one(tiny_joints):
    model = load_model(tiny_joints["per_token"])
    pipe, generator = model.pipeline, torch.Generator().manual_seed(0)
    latents = torch.randn(2, 8, 3, 4, 4, generator=generator)
    latents[0, 4:, 0] = 0
    black = torch.full((1, 3, 1, 32, 32), -1.0)  # no motion, drawn in the style `value`
    expected = latents.clone()
    expected[0, 4:, :1] = model.family.encode_video(pipe, black)[0]
    found, same = (decode_halves(model, xd)[2] for xd in (latents, expected))
    assert torch.equal(found, same)
    alone = decode_halves(model, latents[1:])[2]
    assert torch.equal(found[1:], alone)


def test_bases_whose_condition_cannot_ride_along_say_so(tmp_path):
    ltx = load_model(write_tiny_ltx(tmp_path / "ltx")).pipeline
    pipe = LTXConditionPipeline(**ltx.components)
    with pytest.raises(VideoJamError, match="can't carry the motion channels") as caught:
        family_of(pipe).encode_image(pipe, torch.zeros(1, 3, 9, 64, 64))
    assert "LTXImageToVideoPipeline" in caught.value.expected
    text_to_video = load_model(tiny.write_tiny_wan(tmp_path / "wan"))
    with pytest.raises(VideoJamError, match="text-to-video base"):
        sample(text_to_video, ["a"], image=Image.new("RGB", (32, 32)))
