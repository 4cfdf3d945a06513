"""The paper's sizes: counted without memory, and a shrunken copy initialised, loaded, converted and trained."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from diffusers import WanTransformer3DModel
from typer.testing import CliRunner

from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.families.presets import build_preset, preset_config
from videojam.joint.convert import convert
from videojam.models.initialise import init_pipeline
from videojam.models.load import load_model
from videojam.sampling.sample import sample
from videojam.training.recipe import load_recipe
from videojam.training.run import train

SMALL = {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 3, "freq_dim": 16}


@pytest.mark.parametrize(
    ("name", "width", "num_layers", "num_parameters"),
    [("dit-4b", 3072, 32, 4_923_595_840), ("dit-30b", 6144, 48, 29_327_996_992)],
)
def test_presets_have_the_papers_sizes(name, width, num_layers, num_parameters):
    transformer = build_preset(name)
    assert type(transformer) is WanTransformer3DModel
    assert {p.device.type for p in transformer.parameters()} == {"meta"}
    config = transformer.config
    assert config.num_attention_heads * config.attention_head_dim == width
    assert (config.num_layers, config.ffn_dim) == (num_layers, 4 * width)
    assert sum(p.numel() for p in transformer.parameters()) == num_parameters
    in_blocks = sum(p.numel() for p in transformer.blocks.parameters())
    assert in_blocks == pytest.approx(
        16 * width**2 * num_layers, rel=1e-3
    )  # two attentions of 4, 4x feed-forward


@pytest.fixture
def small(tiny_wan, tmp_path):
    return init_pipeline(
        "dit-4b", tmp_path / "small", vae=tiny_wan, text_encoder=tiny_wan, seed=7, overrides=SMALL
    )


def test_blocks_are_drawn_as_the_stock_class_draws_them(small):
    transformer = load_model(small).pipeline.transformer
    one_block = preset_config("dit-4b", **SMALL) | {
        "num_layers": 1, "in_channels": 4, "out_channels": 4, "text_dim": 16,
    }  # fmt: skip
    for number in range(3):
        torch.manual_seed(7 + number)
        expected = WanTransformer3DModel(**one_block).state_dict()
        for key, tensor in transformer.state_dict().items():
            if key.startswith(f"blocks.{number}.") or (number == 0 and not key.startswith("blocks.")):
                drawn = expected[key.replace(f"blocks.{number}.", "blocks.0.")]
                torch.testing.assert_close(tensor, drawn, rtol=1 / 256, atol=0)


def test_kept_modules_stay_in_float32_on_disk(small):
    index = json.loads((small / "transformer/diffusion_pytorch_model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) == 3
    transformer = WanTransformer3DModel.from_pretrained(small / "transformer", torch_dtype=torch.bfloat16)
    assert transformer.scale_shift_table.dtype == torch.float32
    assert transformer.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    total = sum(p.nbytes for p in transformer.parameters())
    assert index["metadata"]["total_size"] == total


def test_a_small_copy_samples_converts_and_trains_by_the_recipe(small, tmp_path, recipes):
    size = {"num_frames": 5, "height": 32, "width": 32, "num_steps": 2}
    assert torch.isfinite(sample(load_model(small), ["a ball"], **size, max_sequence_length=8).latents).all()
    joint = load_model(convert(small, tmp_path / "joint"))
    assert torch.isfinite(sample(joint, ["a ball"], **size, max_sequence_length=8).latents).all()
    text = yaml.safe_load((recipes / "dit-4b.yaml").read_text())
    assert text["method"] == "plain"
    world = {"num_frames": 9, "pixel_px": 4}
    changes = {
        "base": str(small),
        "out": str(tmp_path / "run"),
        "data.cache": str(tmp_path / "cache"),
        "data.num_heldout": 1,
        "data.source": {"kind": "world", "num_clips": 3, "world": world},
        "data.max_sequence_length": 8,
        "motion": {"estimator": "exact"},
        "num_steps": 2,
        "batch_size": 1,
        "accumulation": 1,
        "precision": "fp32",
    }
    overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in changes.items()]
    config = load_recipe(recipes / "dit-4b.yaml", overrides)
    assert train(config).ok


@pytest.fixture
def recipes(request):
    return request.config.rootpath / "recipes"


def test_the_verb(tiny_wan, tmp_path):
    flags = [f"--set={key}={value}" for key, value in SMALL.items()]
    parts = ["--vae", str(tiny_wan / "vae"), "--text-encoder", str(tiny_wan)]
    shown = CliRunner().invoke(app, ["init", "dit-30b", str(tmp_path / "out"), *parts, *flags])
    assert shown.exit_code == 0, shown.output
    index = json.loads((tmp_path / "out" / "model_index.json").read_text())
    assert index["_class_name"] == "WanPipeline"


def refused(tmp_path, name="dit-4b", out="out", **arguments) -> VideoJamError:
    with pytest.raises(VideoJamError) as caught:
        init_pipeline(name, tmp_path / out, **arguments)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    return caught.value


def test_bad_input(tiny_wan, tmp_path):
    both = {"vae": tiny_wan, "text_encoder": tiny_wan}
    assert "dit-30b" in refused(tmp_path, name="dit-7b", **both).expected
    assert "no such folder" in refused(tmp_path, **both | {"vae": tmp_path / "none"}).found
    assert "AutoencoderKLWan" in refused(tmp_path, **both | {"vae": tiny_wan / "transformer"}).expected
    assert "tokenizer" in refused(tmp_path, **both | {"text_encoder": tiny_wan / "text_encoder"}).expected
    assert refused(tmp_path, overrides={"num_blocks": 2}, **both).found == "num_blocks"
    (tmp_path / "there").mkdir()
    assert refused(tmp_path, out="there", **both).found == "it exists"


def test_a_full_disk_leaves_nothing(tiny_wan, tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    error = refused(tmp_path, vae=tiny_wan, text_encoder=tiny_wan, overrides=SMALL)
    assert error.found == "No space left on device"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_gpu_benchmark_measures_nothing_without_a_gpu(tmp_path, monkeypatch):
    from benchmarks import gpu_presets

    monkeypatch.setattr("sys.argv", ["gpu_presets.py", "--out", str(tmp_path / "figures.json")])
    with pytest.raises(SystemExit, match="no CUDA device"):
        gpu_presets.main()
    assert not (tmp_path / "figures.json").exists()
