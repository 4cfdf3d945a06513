"""Every trained family from a folder on disk through conversion, training and sampling: one body for all."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image
from tiny_pipelines import write_tiny_wan

import tiny_families as tiny
from exactness import same_as_the_base
from videojam.families import family_of
from videojam.families.first_frame import video_of_image
from videojam.guidance.config import GuidanceConfig
from videojam.guidance.window import Window
from videojam.joint.batch import Batch
from videojam.joint.convert import convert
from videojam.joint.latents import join, split
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.models.record import save_record
from videojam.objective.config import ObjectiveConfig
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import draw
from videojam.sampling.request import noise_generators
from videojam.sampling.sample import sample
from videojam.sampling.schedule import build_scheduler
from videojam.sampling.twin import sample_twin
from videojam.training.config import TrainConfig
from videojam.training.lora import load_lora
from videojam.training.new_rate import new_entries, scaled_updates
from videojam.training.run import train

PROMPTS = ["a red ball moves left", "green wheel"]
ALL = Window(end=1.0)


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        write: Writes the tiny base.
        frames: Frames of a clip.
        side: Height and width in px.
        length: Text tokens.
        batch: Samples of a training step.
        oracle_atol: How far from the clean latents the scheduler may end.
        batch_atol: Rounding of a pass over another batch size, w2 times; 0 where passes run one by one.
        scale_name: The stock call's name of the guidance scale; none where a guider of 6 is in the folder.
        needs_negative: Whether the stock call guides only if it is given a negative prompt.
        image: Of image-to-video pipelines, how the stock call takes the image: one, or one for each clip.
        expert: Of two transformers, the one that a run trains.
    """

    write: Callable[[Path], Path]
    frames: int = 9
    side: int = 32
    length: int = 8
    batch: int = 4
    oracle_atol: float = 1e-4
    batch_atol: float = 2e-5
    scale_name: str | None = "guidance_scale"
    needs_negative: bool = False
    image: Literal["one", "each"] | None = None
    expert: str | None = None

    @property
    def size(self):
        size = {"num_frames": self.frames, "height": self.side, "width": self.side}
        return size | {"max_sequence_length": self.length}

    @property
    def options(self):
        """Size and first frame, as our samplers take them."""
        return {**self.size, "image": first_frame(self.side)} if self.image else self.size


KINDS = {
    "wan": Kind(write_tiny_wan, batch_atol=0),
    "wan-ti2v": Kind(partial(write_tiny_wan, expand_timesteps=True), batch_atol=0),
    "wan-a14b": Kind(  # UniPC tells the network σ rounded to 1/1000
        partial(write_tiny_wan, experts=True, unipc=True),
        batch_atol=0,
        oracle_atol=5e-3,
        expert="transformer",
    ),
    "cogvideox-2b": Kind(tiny.write_tiny_cogvideox),
    "cogvideox-5b": Kind(partial(tiny.write_tiny_cogvideox, rotary=True, dpm=True)),
    "cogvideox-1.5": Kind(partial(tiny.write_tiny_cogvideox, padded=True)),
    "ltx": Kind(tiny.write_tiny_ltx, side=64),
    "mochi": Kind(tiny.write_tiny_mochi, frames=13),
    "hunyuan-video": Kind(
        tiny.write_tiny_hunyuan_video,
        batch_atol=0,
        needs_negative=True,
        scale_name="true_cfg_scale",
    ),
    "hunyuan-video-1.5": Kind(tiny.write_tiny_hunyuan_video15, batch=1, batch_atol=0, scale_name=None),
    "wan-i2v": Kind(partial(write_tiny_wan, image=True, clip=True), batch_atol=0, image="one"),
    "wan-ti2v-i2v": Kind(
        partial(write_tiny_wan, image=True, expand_timesteps=True), batch_atol=0, image="one"
    ),
    "cogvideox-i2v": Kind(
        partial(tiny.write_tiny_cogvideox, rotary=True, dpm=True, image=True), image="each"
    ),
    "cogvideox-1.5-i2v": Kind(partial(tiny.write_tiny_cogvideox, padded=True, image=True), image="each"),
    "ltx-i2v": Kind(partial(tiny.write_tiny_ltx, image=True), side=64, image="each"),
}


def first_frame(side):
    pixels = torch.randint(0, 256, (side, side, 3), generator=torch.Generator().manual_seed(4))
    return Image.fromarray(pixels.to(torch.uint8).numpy())


@dataclass(frozen=True)
class Case:
    kind: Kind
    base: Path
    joint: Path


@pytest.fixture(scope="module", params=KINDS)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    base = KINDS[request.param].write(folder / "base")
    return Case(KINDS[request.param], base, convert(base, folder / "joint"))


def run(case, model, **options):
    options = {"seeds": [3, 9], "num_steps": 3, "decode": False, **case.kind.options, **options}
    return sample(model, PROMPTS, **options)


def trained(case):
    """The joint model with random numbers for the new entries, as if it had been trained."""
    model = load_model(case.joint)
    generator = torch.Generator().manual_seed(1)
    for transformer in model.family.transformers(model.pipeline).values():
        for name, mask in new_entries(transformer, model.family).items():
            parameter = transformer.get_parameter(name)
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(torch.where(mask, noise, parameter))
    return model


def clean_latents(case, model):
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, case.kind.frames, case.kind.side, case.kind.side, generator=generator) * 2 - 1
    x, d = (model.family.encode_video(model.pipeline, clip) for clip in (video, video.flip(2, 4)))
    return split(model.family.finished(join(x, d), image_condition(case, model, 1)))


def image_condition(case, model, num):
    """What the network reads of the first frame; nothing for text-to-video."""
    if case.kind.image is None:
        return {}
    size = case.kind.frames, case.kind.side, case.kind.side
    still = video_of_image(model.pipeline, first_frame(case.kind.side), num, *size)
    return model.family.encode_image(model.pipeline, still)


def conditions(case, model, prompts):
    text = model.family.encode_prompts(model.pipeline, prompts, case.kind.length)
    return {**text, **image_condition(case, model, len(prompts))}


def oracle(family, transformer, clean, flip):
    """A forward that knows the clean latents and returns the family's training target."""

    def forward(hidden_states, timestep, **kwargs):
        sigma = family.sigma_of(timestep.max()[None])  # tokens of a given frame have timestep 0
        hidden = family.unpack(transformer, hidden_states, clean)[:, : clean.shape[1]]
        a, b = family.mixture(float(sigma))
        eps = (hidden - a * clean) / b
        assert torch.allclose(family.noised(clean, eps, sigma), hidden, atol=1e-4)
        return (family.pack(transformer, flip * family.target(clean, eps, sigma)),)

    return forward


@pytest.mark.parametrize("flip", [1.0, -1.0], ids=["target", "wrong-sign"])
def test_oracle_is_carried_to_the_clean_latents(case, flip):
    """(o) Identity 5a by the family's own scheduler."""
    model = load_model(case.joint)
    x, d = clean_latents(case, model)
    assert x.shape[1:] == model.family.latent_shape(
        model.pipeline, case.kind.frames, case.kind.side, case.kind.side
    )
    for transformer in model.family.transformers(model.pipeline).values():
        transformer.forward = oracle(model.family, transformer, join(x, d), flip)
    arguments = {"guidance": GuidanceConfig(mode="none"), "decode": False, **case.kind.options}
    x_end, d_end = split(sample(model, ["a"], num_steps=5, **arguments).latents)
    error = max((x_end - x).abs().max(), (d_end - d).abs().max())
    assert error < case.kind.oracle_atol if flip == 1 else error > 0.5


@torch.no_grad()
def test_appearance_half_equals_the_base_for_random_motion(case):
    """(a) Identity 1, bit for bit."""
    base = load_model(case.base)
    family, pipe = base.family, base.pipeline
    joint = widen_transformer(pipe.transformer)
    shape = family.latent_shape(pipe, case.kind.frames, case.kind.side, case.kind.side)
    x, d = torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(0))
    cond, sigma = conditions(case, base, PROMPTS), torch.tensor([0.3, 0.9])
    expected = family.denoise(pipe.transformer, x, sigma, cond)
    for motion in (torch.zeros_like(d), 100 * d):
        u_x, u_d = split(family.denoise(joint, join(x, motion), sigma, cond))
        assert same_as_the_base(u_x, expected)
        assert not u_d.any()
    assert expected.std() > 0.01


def stock_call(case, model, scale, output_type, prompts=PROMPTS):
    """What the stock call returns that draws its own noise."""
    pipe = model.pipeline
    pipe.set_progress_bar_config(disable=True)
    size, image = case.kind.size, case.kind.options.get("image")
    if image is not None:
        size |= {"image": [image] * len(prompts) if case.kind.image == "each" else image}
    if "max_sequence_length" not in inspect.signature(pipe.__call__).parameters:
        pipe.tokenizer_max_length = size.pop("max_sequence_length")
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 9)[: len(prompts)]]
    return pipe(
        prompt=prompts,
        generator=generators if len(prompts) > 1 else generators[0],  # LTX's decoding takes no list of them
        num_inference_steps=3,
        output_type=output_type,
        **({case.kind.scale_name: scale} if case.kind.scale_name else {}),
        **({"negative_prompt": [""] * len(prompts)} if case.kind.needs_negative else {}),
        **size,
    ).frames


def stock_latents(case, model, scale):
    """The stock call's final latents as `[B, C, F, H, W]`."""
    out, family = stock_call(case, model, scale, "latent"), model.family
    shape = family.latent_shape(model.pipeline, case.kind.frames, case.kind.side, case.kind.side)
    return family.unpack(model.pipeline.transformer, out, torch.empty(2, *shape))


def test_base_and_fresh_joint_model_follow_the_stock_call(case):
    """(b) CFG of the base, by pipeline and by explicit loop; (c) Inner-Guidance after conversion: identity 2."""
    base, joint = load_model(case.base), load_model(case.joint)
    expected = stock_latents(case, base, 6.0)
    cfg = GuidanceConfig(mode="cfg", w_text=5.0)
    assert torch.equal(run(case, base, guidance=cfg).latents, expected)
    options = {"seeds": [3, 9], "num_steps": 3, **case.kind.options}
    twin = sample_twin(base, PROMPTS, guidance=cfg, **options)
    assert torch.allclose(twin, expected, atol=1e-4)
    assert expected.std() > 0.3

    x, _ = split(run(case, joint, guidance=cfg).latents)
    assert same_as_the_base(x, expected)
    out = run(case, joint, guidance=GuidanceConfig(w_text=5.0, w_motion=3.0, window=ALL))
    x, d = split(out.latents)
    if case.kind.batch_atol:
        assert (x - expected).abs().max() <= case.kind.batch_atol
    else:
        assert same_as_the_base(x, expected)
    assert out.trace.motion_steps == [0, 1, 2]
    assert (x - d).abs().max() > 0.5  # d's noise is its own


@pytest.mark.parametrize(
    "guidance",
    [
        {},
        {"batched": True},
        {"motion_on": "appearance", "window": Window()},
        {"mode": "ip2p", "w_text": 2.0},
        {"w_text": 0.0},
        {"drop_motion": True},
    ],
    ids=str,
)
def test_pipeline_under_the_hook_equals_the_explicit_loop(case, guidance):
    """Every mode of guidance, on a model whose motion half says something."""
    model = trained(case)
    config = GuidanceConfig(**{"window": ALL, **guidance})
    options = {"seeds": [3, 9], "num_steps": 2, **case.kind.options}
    out = run(case, model, guidance=config, num_steps=2)
    twin = sample_twin(model, PROMPTS, guidance=config, **options)
    assert torch.allclose(out.latents, twin, atol=1e-3, rtol=1e-3)
    plain = run(case, model, guidance=GuidanceConfig(mode="none"), num_steps=2)
    assert (out.latents - plain.latents).abs().max() > 1e-2


def test_decoding_equals_the_stock_call(case):
    base = load_model(case.base)
    cfg = GuidanceConfig(mode="cfg", w_text=5.0)
    ours = sample(base, PROMPTS[:1], seeds=3, num_steps=3, guidance=cfg, **case.kind.options).video
    stock = stock_call(case, base, 6.0, "pt", PROMPTS[:1])
    assert (ours - (stock * 255).round()).abs().max() <= 1  # the stock mapping to 0..1 rounds once more
    assert ours.float().std() > 1


def test_both_halves_are_decoded(case):
    out = run(case, trained(case), decode=True, num_steps=2)
    shape = (2, case.kind.frames, 3, case.kind.side, case.kind.side)
    assert out.video.shape == out.motion_video.shape == shape
    assert out.flow.shape == (2, case.kind.frames - 1, 2, case.kind.side, case.kind.side)


def test_bfloat16_weights_sample_what_float32_ones_do(case):
    exact, rounded = (
        run(case, load_model(case.joint, torch_dtype=dtype)).latents
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert torch.corrcoef(torch.stack([exact.flatten(), rounded.flatten()]))[0, 1] > 0.99


@torch.no_grad()
def sampling_errors(model, transformer, x, d, cond):
    """Squared errors of x and d when the family's scheduler goes by the network from noise to the end."""
    family, pipe = model.family, model.pipeline
    own, pipe.scheduler = pipe.scheduler, build_scheduler(pipe.scheduler)
    latents = join(*torch.randn(2, *x.shape, generator=torch.Generator().manual_seed(5)))
    family.set_timesteps(pipe, 3, latents)
    take_step = family.stepper(pipe.scheduler, noise_generators([0]))
    for timestep in pipe.scheduler.timesteps:
        prediction = family.denoise(transformer, latents, family.sigma_of(timestep).expand(len(x)), cond)
        latents = take_step(prediction, timestep, latents)
    pipe.scheduler = own
    ends = split(family.finished(latents, cond))
    return [(end - clean).square().mean().item() for end, clean in zip(ends, (x, d), strict=True)]


@pytest.mark.parametrize("flip", [1.0, -1.0], ids=["target", "wrong-sign"])
def test_training_steps_bring_the_samplers_estimate_to_the_batch(case, flip):
    """(d) Losses of both halves fall, and so does the error of what the scheduler makes of the network."""
    model = load_model(case.base)
    family = model.family
    x, d = clean_latents(case, model)
    cond = conditions(case, model, PROMPTS[:1])
    null = family.encode_prompts(model.pipeline, [""], case.kind.length)
    transformer = widen_transformer(model.pipeline.transformer).train()
    denoiser = Denoiser(transformer, flipped(family, flip), True, null)
    for parameter in transformer.parameters():
        parameter.requires_grad_(parameter.numel() < 1e6)  # HunyuanVideo 1.5 fixes one width at 2048: slow
    optimizer = torch.optim.AdamW(transformer.parameters(), lr=5e-3, weight_decay=0.0)
    masks = new_entries(transformer, family)
    objective = ObjectiveConfig(t_sampling="uniform", text_dropout=0.0, motion_dropout=0.2)
    before = sampling_errors(model, transformer, x, d, cond)
    losses = []
    for step in range(30):
        draws = draw(objective, 0, step, case.kind.batch, tuple(x.shape[1:]))
        rows = {name: value.expand(case.kind.batch, *value.shape[1:]) for name, value in cond.items()}
        batch = Batch(x.expand_as(draws.eps_x), d.expand_as(draws.eps_d), rows)
        means = [half.mean() for half in denoiser.losses(batch, draws)]
        sum(means).backward()
        with scaled_updates(dict(transformer.named_parameters()), masks, 5.0):
            optimizer.step()
        optimizer.zero_grad()
        losses.append([mean.item() for mean in means])
    first, last = torch.tensor(losses[:5]).mean(0), torch.tensor(losses[-5:]).mean(0)
    assert (last < 0.95 * first).all(), (first, last)
    after = sampling_errors(model, transformer, x, d, cond)
    comes_nearer = all(new < 0.9 * old for old, new in zip(before, after, strict=True))
    assert comes_nearer == (flip == 1), (before, after)


def flipped(family, flip):
    """The family, or one that trains towards the negative of its target."""
    if flip == 1:
        return family

    class Flipped(type(family)):
        def target(self, x, eps, sigma):
            return flip * super().target(x, eps, sigma)

    return Flipped(**{name: getattr(family, name) for name in family.__dataclass_fields__})


def test_saved_model_samples_the_same_latents(case, tmp_path):
    """(e) Through the stock `save_pretrained` and the public loader."""
    model = trained(case)
    model.pipeline.save_pretrained(tmp_path / "saved")
    save_record(model.record, tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert torch.equal(run(case, model).latents, run(case, again).latents)


def recipe(case, out, **changes):
    world = {"num_frames": case.kind.frames, "height": case.kind.side, "width": case.kind.side}
    return {
        "base": str(case.base),
        "out": str(out),
        "data": {
            "source": {"kind": "world", "num_clips": 3, "world": {**world, "kinds": ["wheel"]}},
            "cache": str(out / "cache"),
            "num_heldout": 1,
            "max_sequence_length": case.kind.length,
        },
        "motion": {"estimator": "exact", "scale": 0.06},
        "optimizer": {"learning_rate": 1e-3},
        "num_steps": 2,
        "batch_size": 2,
        "save_dtype": "fp32",
        "validate_t": [0.05],
        "expert": case.kind.expert,
        **changes,
    }


@torch.no_grad()
def test_adapters_of_a_run_reload_on_a_freshly_converted_base(case, tmp_path):
    """(f) The run's export is verified by `train` itself; its adapters give the same network elsewhere."""
    with torch.enable_grad():
        report = train(TrainConfig.model_validate(recipe(case, tmp_path, lora={"rank": 2})))
    assert report.ok
    assert report.max_difference < 1e-5  # the loaded weights lie elsewhere in memory
    fused = load_model(tmp_path / "model")
    fresh = copy.deepcopy(load_model(case.joint).pipeline.transformer)
    family = family_of(fused.pipeline)
    shape = family.latent_shape(fused.pipeline, case.kind.frames, case.kind.side, case.kind.side)
    xd = join(*torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(0)))
    cond = conditions(case, fused, PROMPTS)

    def prediction(transformer):
        return family.denoise(transformer, xd, torch.tensor([0.3, 0.9]), cond)

    expected, untrained = prediction(fused.pipeline.transformer), prediction(fresh)
    load_lora(fresh, tmp_path / "lora")
    assert torch.allclose(prediction(fresh), expected, atol=1e-4)
    assert (untrained - expected).abs().max() > 1e-3
