"""A dry run counts what a trainer allocates, and loads and writes nothing."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from videojam import cli
from videojam.errors import VideoJamError
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.training.config import LoraConfig, TrainConfig
from videojam.training.dry_run import dry_run
from videojam.training.trainable import build_state, mark_trainable


@pytest.mark.parametrize("method", ["videojam", "plain"])
@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_parts_are_those_of_a_real_trainer(recipe, method, lora):
    config = TrainConfig.model_validate({**recipe, "method": method, "lora": lora})
    _, memory, _ = dry_run(config)
    model = load_model(recipe["base"])
    transformer = model.pipeline.transformer
    if method == "videojam":
        transformer = widen_transformer(transformer)
    mark_trainable(transformer, model.family, None if lora is None else LoraConfig(**lora), 0)
    state = build_state(config, transformer)
    trained = sum(value.numel() for value in state.parameters.values())
    assert memory.num_trained == trained
    assert memory.weights == 4 * sum(value.numel() for value in transformer.parameters())
    assert (memory.gradients, memory.adam, memory.ema, memory.bf16_copies) == (
        4 * trained, 8 * trained, 4 * sum(value.numel() for value in state.ema.values()), 0,
    )  # fmt: skip


def test_the_verb_prints_it_and_writes_nothing(recipe, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    done = CliRunner().invoke(cli.app, ["train", str(file), "--dry-run"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "4 steps of 3 clips: 9 frames of 32×32 px" in done.stdout
    assert "gradients" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_an_expert_must_be_named(recipe, tiny_wan_experts):
    for changes in ({"base": str(tiny_wan_experts)}, {"expert": "no_such"}):
        with pytest.raises(VideoJamError, match="one of the transformers transformer"):
            dry_run(TrainConfig.model_validate({**recipe, **changes}))
    config = TrainConfig.model_validate({**recipe, "base": str(tiny_wan_experts), "expert": "transformer_2"})
    assert dry_run(config)[0].component == "transformer_2"
