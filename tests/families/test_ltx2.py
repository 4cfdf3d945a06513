"""LTX-2: what becomes of the sound, in sampling and in training, and what is refused."""

from __future__ import annotations

import copy
import shutil

import diffusers
import pytest
import torch
from family_kinds import ALL, KINDS, PROMPTS, Case, conditions, run

from exactness import same_as_the_base
from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.guidance.config import Guidance
from videojam.guidance.hook import guided, pipeline_scale
from videojam.joint.convert import convert
from videojam.joint.widen import widen_transformer
from videojam.models.describe import describe_model
from videojam.models.encoders import StoredEncoders
from videojam.models.memory import training_memory
from videojam.models.outline import loaded_encoders
from videojam.sampling.twin import sample_twin
from videojam.training.config import LoraConfig
from videojam.training.lora import check_targets
from videojam.training.trainable import mark_trainable

OF_SOUND = ("audio", "av_cross_attn", "a2v")
"""In the names of what belongs to the sound, or to the attention between sound and video."""


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ltx-2")
    base = KINDS["ltx-2"].write(folder / "base")
    return Case(KINDS["ltx-2"], base, convert(base, folder / "joint"))


@pytest.fixture(scope="module")
def base(case):
    return case.base_model


@pytest.fixture(scope="module")
def joint(case):
    return case.joint_model


def sounds(model, sample):
    """The predictions of sound while something is sampled: of each pass, `[rows, L, D]`."""
    seen = []
    layer = model.pipeline.transformer.audio_proj_out
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output.clone()))
    try:
        sample()
    finally:
        handle.remove()
    return seen


def test_the_sound_of_a_fresh_joint_model_is_that_of_the_base(case, base, joint):
    """With null motion the passes have another batch size, so that x is the base's to rounding from step 2 on."""
    cfg, inner = Guidance(mode="cfg"), Guidance(window=ALL)
    expected = sounds(base, lambda: run(case, base, guidance=cfg))
    assert [len(a) for a in expected] == [4, 4, 4]
    assert expected[0].std() > 0.01
    for ours, theirs in zip(sounds(joint, lambda: run(case, joint, guidance=cfg)), expected, strict=True):
        assert same_as_the_base(ours, theirs)
    passes = sounds(joint, lambda: run(case, joint, guidance=inner))
    for ours, theirs in zip(passes[::2], expected, strict=True):
        assert (ours - theirs).abs().max() <= case.kind.batch_atol


@pytest.mark.parametrize("guidance", [{}, {"batched": True}], ids=str)
def test_a_step_that_reuses_guidance_reuses_that_of_the_sound(case, guidance):
    model = case.trained_model
    config = Guidance(**{"window": ALL, "reuse_every": 2, **guidance})
    ours = run(case, model, guidance=config)
    twin = sample_twin(model, PROMPTS, guidance=config, seeds=[3, 9], num_steps=3, **case.kind.size)
    assert torch.allclose(ours.latents, twin, atol=1e-3, rtol=1e-3)
    assert ours.trace.num_forwards == (3 if guidance else 5)


def test_without_sound_the_video_does_not_depend_on_it(case, base):
    family, transformer = base.family, copy.deepcopy(base.pipeline.transformer)
    text, x = conditions(case, base, PROMPTS), torch.randn(2, 16, 5, 4, 4)
    with torch.no_grad():
        before = family.denoise(transformer, x, torch.tensor([0.3, 0.9]), text)
        for name, parameter in transformer.named_parameters():
            if any(part in name for part in OF_SOUND):
                parameter.add_(1)
        assert torch.equal(family.denoise(transformer, x, torch.tensor([0.3, 0.9]), text), before)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["full", "lora"])
def test_all_that_is_trained_gets_a_gradient_and_none_of_it_is_of_the_sound(case, base, lora):
    transformer = widen_transformer(base.pipeline.transformer)
    mark_trainable(transformer, base.family, lora)
    text, xd = conditions(case, base, PROMPTS), torch.randn(2, 32, 5, 4, 4)
    for name, parameter in transformer.named_parameters():
        if "lora_B" in name or name.startswith("proj_out"):
            parameter.data.normal_()
    base.family.denoise(transformer, xd, torch.tensor([0.3, 0.9]), text).square().mean().backward()
    trained = {name: p for name, p in transformer.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.any() for p in trained.values())
    assert not [name for name in trained if any(part in name for part in OF_SOUND)]
    kept = [name for name, p in transformer.named_parameters() if not p.requires_grad and "lora" not in name]
    assert lora is not None or all(any(part in name for part in OF_SOUND) for name in kept)
    facts = describe_model(case.base).transformers[0]
    memory = training_memory(facts, lora)
    assert memory.num_trained == sum(p.numel() for p in trained.values())
    assert memory.weights == 4 * sum(p.numel() for p in transformer.parameters())


def test_adapters_on_only_the_sound_are_refused(base):
    lora = LoraConfig(target_modules=("audio_ff.net.2",))
    with pytest.raises(VideoJamError, match="audio_ff"):
        check_targets(base.pipeline.transformer, lora, base.family)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "stg_scale = 1"),
        ({"stg_scale": 0}, "audio_stg_scale = 1"),
        ({"modality_scale": 3}, "modality_scale = 3"),
        ({"audio_modality_scale": 3}, "audio_modality_scale = 3"),
        ({"guidance_rescale": 0.7}, "guidance_rescale = 0.7"),
    ],
    ids=str,
)
def test_other_guidance_of_the_stock_call_is_refused_under_the_hook(case, joint, arguments, named):
    own = {} if named.endswith("stg_scale = 1") else case.kind.plain
    config = Guidance()
    call = {
        "guidance_scale": pipeline_scale(config),
        "spatio_temporal_guidance_blocks": [0],
        **case.kind.size,
    }
    with (
        guided(joint.pipeline, joint.family, config),
        pytest.raises(VideoJamError) as caught,
    ):
        joint.pipeline(PROMPTS[0], num_inference_steps=2, **{**call, **own, **arguments})
    assert caught.value.found == named
    assert "guidance_rescale=0" in caught.value.fix


@pytest.mark.parametrize("name", ["LTX2ImageToVideoPipeline", "LTX2ConditionPipeline"])
def test_pipelines_that_are_given_frames_are_refused_by_name(joint, name):
    parts = joint.pipeline.components
    pipe = getattr(diffusers, name)(**{key: part for key, part in parts.items() if part is not None})
    with pytest.raises(VideoJamError, match=name) as caught:
        family_of(pipe).encode_image(pipe, torch.zeros(1, 3, 9, 32, 32))
    assert "text-to-video" in caught.value.expected


def test_a_length_of_text_that_the_connectors_do_not_fill_is_refused(base):
    with pytest.raises(VideoJamError, match="multiple of 8") as caught:
        base.family.encode_prompts(base.pipeline, PROMPTS, 21)
    assert caught.value.fix == "Use 24."


def test_texts_are_kept_in_the_type_of_the_text_encoder(case, base, tmp_path):
    """The connectors are float32 while clips are prepared; published text encoders are bf16."""
    folder = shutil.copytree(case.base, tmp_path / "base")
    copy.deepcopy(base.pipeline.text_encoder).bfloat16().save_pretrained(folder / "text_encoder")
    exact = base.family.encode_prompts(base.pipeline, PROMPTS, 8)["encoder_hidden_states"]
    with loaded_encoders(folder, "text") as model:
        kept = model.family.encode_prompts(model.pipeline, PROMPTS, 8)["encoder_hidden_states"]
    assert kept.dtype == torch.bfloat16
    assert (kept - exact).abs().max() < 0.05 * exact.abs().max()


def test_connectors_are_loaded_with_the_text_encoder_and_nothing_of_the_sound(case):
    with loaded_encoders(case.base, "text") as model:
        assert model.pipeline.connectors is not None
        assert model.pipeline.audio_vae is model.pipeline.vocoder is None
    with loaded_encoders(case.base, "pixels") as model:
        assert model.pipeline.connectors is model.pipeline.audio_vae is None
    encoder, second, connectors = StoredEncoders(case.base).text_fingerprints()
    assert second is None
    assert encoder != connectors
