"""An image-to-video base is trained with its condition; the motion half has none."""

from __future__ import annotations

import pytest
import tiny_pipelines as tiny
import torch
from PIL import Image

from tiny_families import write_tiny_cogvideox
from videojam.data.config import DataConfig
from videojam.data.encode import prepare, read_encoded
from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.guidance.config import GuidanceConfig
from videojam.joint.latents import null_motion
from videojam.joint.load import load_model
from videojam.joint.widen import widen_transformer
from videojam.motion.code import MotionCode
from videojam.sampling.sample import sample
from videojam.training.batches import read_batch
from videojam.training.config import ObjectiveConfig, TrainConfig
from videojam.training.joint_step import Denoiser
from videojam.training.objective import draw
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
    none = GuidanceConfig(mode="none")
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


def test_bases_whose_condition_cannot_ride_along_say_so(tmp_path):
    folder = tiny.write_tiny_wan(tmp_path / "base", image=True, expand_timesteps=True)
    model = load_model(folder)
    with pytest.raises(VideoJamError, match="WanPipeline"):
        model.family.encode_image(model.pipeline, torch.zeros(1, 3, 9, 32, 32))
    from diffusers import CogVideoXImageToVideoPipeline

    cog = load_model(write_tiny_cogvideox(tmp_path / "cog")).pipeline
    pipe = CogVideoXImageToVideoPipeline(**cog.components)
    with pytest.raises(VideoJamError, match="can't carry the motion channels"):
        family_of(pipe).encode_image(pipe, torch.zeros(1, 3, 9, 32, 32))
