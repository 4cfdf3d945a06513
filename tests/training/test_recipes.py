"""Every shipped recipe is dry-run from the sizes of its base alone; the table of docs/recipes.md says what came out."""

from __future__ import annotations

import pytest

from benchmarks.recipes_table import HEAD, PAGE, RECIPES, ROOT, config_of, ran, row_in, row_of
from videojam.models.describe import describe_model
from videojam.models.published import PUBLISHED, published_configs
from videojam.models.text_size import text_encoder_bytes
from videojam.training.dry_run import dry_run, dry_run_lines

RUN = ("paper-30b", "ltx-lora")
"""Simulated by default: one whose joint model is cut over cards, one whose latents are packed."""
CARDS = "cards of FSDP2 that hold it 128 of 24 GB, 32 of 48 GB, 16 of 80 GB, at most 256 (a clip each)"

each = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


@each
def test_its_head_says_what_its_row_says(recipe):
    row = [cell.strip() for cell in row_in(PAGE.read_text(), recipe).strip("|").split("|")]
    heads = [line for line in recipe.read_text().splitlines() if line.startswith(HEAD)]
    assert len(heads) == 1
    training, text, pixels, *cards = row[5:]
    before = max(float(text), float(pixels))
    on = "; ".join(f"{size} GB: {cell}" for size, cell in zip((24, 48, 80), cards, strict=True))
    assert heads[0] == f"{HEAD}{training} GiB in training, {before:,.1f} before. {on}."


@each
def test_its_base_is_known_and_its_clips_are_of_a_size_that_the_row_names(recipe):
    config = config_of(recipe)
    assert config.base in PUBLISHED
    source = config.data.source
    clip = f"{source.num_frames}×{source.height}×{source.width}, {config.num_steps:,}×{config.batch_size}"
    assert clip in row_in(PAGE.read_text(), recipe)


@pytest.fixture(scope="module", params=RUN)
def simulated(request):
    """A recipe's config and dry run; each takes seconds."""
    config = config_of(ROOT / "recipes" / f"{request.param}.yaml")
    return request.param, config, dry_run(config, tflops=989.0)


def test_a_dry_run_gives_the_row(simulated):
    name, config, run = simulated
    recipe = ROOT / "recipes" / f"{name}.yaml"
    assert row_of(recipe, run, config) == row_in(PAGE.read_text(), recipe)


def test_cards_are_named_where_the_model_is_cut_over_them(simulated):
    name, config, run = simulated
    line = [line.split() for line in dry_run_lines(config, run) if "cards of FSDP2" in line]
    assert line == ([] if name == "ltx-lora" else [CARDS.split()])


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", [path for path in RECIPES if path.stem not in RUN], ids=lambda path: path.stem
)
def test_a_dry_run_gives_the_row_of_the_others_too(recipe):
    assert ran(recipe)[0] == row_in(PAGE.read_text(), recipe)


@pytest.mark.parametrize(
    ("base", "transformer", "text_gb"),
    [  # in billions of parameters, as the model cards count; bf16 text encoders
        ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", 1.42, 11.4),
        ("Wan-AI/Wan2.1-T2V-14B-Diffusers", 14.29, 11.4),
        ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", 5.00, 11.4),
        ("zai-org/CogVideoX-5b", 5.57, 9.5),
        ("Lightricks/LTX-Video", 1.92, 9.5),
        ("Lightricks/LTX-2", 18.88, 30.1),  # Gemma 3 12B, and 1.4 billion of connectors in float32
        ("hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v", 8.33, 14.6),
        ("dit-4b", 4.92, 11.4),
    ],
)
def test_a_published_base_has_the_parameters_of_its_weights(base, transformer, text_gb):
    with published_configs(base) as folder:
        (facts,) = describe_model(folder, configs_only=True).transformers
        assert facts.num_parameters / 1e9 == pytest.approx(transformer, rel=0.005)
        assert text_encoder_bytes(folder) / 1e9 == pytest.approx(text_gb, rel=0.01)


def test_both_experts_are_described():
    with published_configs("Wan-AI/Wan2.2-T2V-A14B-Diffusers") as folder:
        names = [part.component for part in describe_model(folder, configs_only=True).transformers]
    assert names == ["transformer", "transformer_2"]


def test_another_base_has_no_sizes_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with published_configs("somebody/else") as folder:
        assert folder is None
    (tmp_path / "dit-4b").mkdir()  # a folder of that name is the user's own
    with published_configs("dit-4b") as folder:
        assert folder is None
