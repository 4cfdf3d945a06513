"""What a run shows of itself: speed, w* of motion, TensorBoard."""

from __future__ import annotations

import json
import math

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.joint.batch import Batch
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import fixed_draws
from videojam.training.config import TrainConfig
from videojam.training.run import train
from videojam.training.speed import Meter
from videojam.training.trackers import open_trackers
from videojam.training.work import Work, work_of


def test_a_run_logs_its_speed_and_w_star_and_shows_them_in_tensorboard(recipe):
    config = TrainConfig.model_validate(recipe | {"num_steps": 2, "validate_every": 1})
    train(config)
    lines = [json.loads(line) for line in (config.out / "log.jsonl").read_text().splitlines()]
    steps, heldout = ([line for line in lines if ("loss" in line) is kind] for kind in (True, False))
    assert {"clips_per_s", "tokens_per_s", "mfu", "memory_gib", "data_share", "left_s"} <= steps[0].keys()
    tokens = 3 * 2 * 2  # nine frames are three latent frames, 32 px are four latents in patches of two
    assert steps[0]["tokens_per_s"] == pytest.approx(tokens * steps[0]["clips_per_s"], rel=0.05)
    assert "w_star_motion@0.3" not in heldout[0]  # the zeros of a converted base change nothing
    assert {"w_star_motion@0.3", "w_star_motion@0.7"} <= heldout[-1].keys()
    shown = EventAccumulator(str(config.out / "tensorboard")).Reload()
    names = shown.Tags()["scalars"]
    assert {"train/appearance", "heldout/motion/t=0.3", "heldout/w_star_motion/t=0.7", "speed/mfu"} <= {
        *names
    }
    assert [event.step for event in shown.Scalars("train/loss")] == [1, 2]
    assert shown.Scalars("train/loss")[0].value == pytest.approx(steps[0]["loss"], rel=1e-6)


def test_flops_of_a_step_are_those_of_its_matrix_products(tiny_wan):
    """Counted by hand for the linear layers, the convolution and attention of the tiny transformer of two blocks."""
    transformer = widen_transformer(load_model(tiny_wan).pipeline.transformer)
    width, ffn, text, tokens, channels = 24, 32, 5, 12, 8
    x = torch.zeros(2, 4, 3, 4, 4)
    cond = {"encoder_hidden_states": torch.zeros(2, text, 16)}
    null = {"encoder_hidden_states": torch.zeros(1, text, 16)}
    denoiser = Denoiser(transformer, family_of(transformer), True, null)
    work = work_of(denoiser, Batch(x, x, cond), fixed_draws(0, 2, 0.5, (4, 3, 4, 4)), has_adapters=False)
    block = (
        tokens * width * (6 * width + 2 * ffn) + 2 * text * width * width
    )  # q k v o, q o, ffn; k v of the text
    block += 2 * tokens * (tokens + text) * width  # scores and values
    embeddings = tokens * channels * 4 * width + text * width * (16 + width) + 16 * width + width * width * 7
    multiplications = 2 * block + embeddings + tokens * width * channels * 4
    assert work.tokens == tokens
    assert work.flops == pytest.approx(3 * 2 * multiplications, rel=1e-6)


def test_figures_of_a_lap(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    meter = Meter(rate=1000.0, num_ranks=2)
    meter.begin()
    for _ in range(4):
        with meter.step(), meter.waiting():
            now[0] += 0.5
        now[0] += 1.5
        meter.saw(3, Work(10, 100.0))
    with meter.paused():
        now[0] += 1000.0
    line = meter.lap(steps_left=5)
    assert line["step_s"] == 2.0
    assert (line["clips_per_s"], line["tokens_per_s"], line["data_share"]) == (1.5, 15.0, 0.25)
    assert line["mfu"] == pytest.approx(1200 / (8 * 1000 * 2), abs=1e-4)
    assert line["left_s"] == 10.0
    assert math.isfinite(line["memory_gib"])


def test_a_tracker_that_is_not_installed_is_named(recipe, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    data = recipe["data"] | {"cache": str(tmp_path / "cache")}  # the recipe's own is shared with other tests
    config = TrainConfig.model_validate(recipe | {"trackers": ["wandb"], "data": data})
    with pytest.raises(VideoJamError, match="the tracker wandb") as caught:
        open_trackers(config, 0)
    assert "pip install wandb" in caught.value.fix
    with pytest.raises(VideoJamError, match="the tracker wandb"):
        train(config)
    assert not config.out.exists()
    assert not config.data.cache.exists()
    assert open_trackers(TrainConfig.model_validate(recipe | {"trackers": []}), 0) == []
