"""What breaks while a run goes: gradients, files, versions, time, processes. Nothing that was saved is lost."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import threading
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file
from until_export import train_until_export

import videojam.objective.denoiser as joint_step
from videojam.errors import VideoJamError
from videojam.training import facts, resume
from videojam.training.checkpoint import CheckpointWriter, best_checkpoint, checkpoints, read_state, to_remove
from videojam.training.config import TrainConfig
from videojam.training.guard import skips_on_device, take_step
from videojam.training.run import train
from videojam.training.saving import Saver
from videojam.training.speed import TIMES
from videojam.training.state import TrainState
from videojam.training.stop import StopRequest, TimeIsUp
from videojam.training.votes import Votes
from videojam.training.window import Window


@pytest.fixture(scope="module")
def common(short_recipe, tmp_path_factory):
    """A recipe of four steps, and its clips in a cache."""
    folder = tmp_path_factory.mktemp("faults")
    return short_recipe(folder / "cache") | {
        "optimizer": {"learning_rate": 1e-3},
        "save_dtype": "fp32",
        "validate_every": 2,
    }


def config_of(common, out, **changes):
    return TrainConfig.model_validate(copy.deepcopy(common) | {"out": str(out)} | changes)


def lines(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def curve(out):
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines(out)]


def weights(out):
    return load_file(out / "model" / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def unbroken(common, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    train(config_of(common, out))
    return out


# --- bad gradients ---


@pytest.fixture
def poisoned(monkeypatch):
    """Make the loss of the calls that are named NaN; a held-out measurement of one batch and one t is a call too."""
    real, calls, bad = joint_step.half_losses, [], set()

    def half_losses(*args, **kwargs):
        calls.append(0)
        return [half * (float("nan") if len(calls) in bad else 1.0) for half in real(*args, **kwargs)]

    monkeypatch.setattr(joint_step, "half_losses", half_losses)
    return bad


def test_bad_steps_are_left_out_and_counted_where_the_recipe_says_so(common, tmp_path, poisoned):
    poisoned.update((2, 3))  # the first call measures held-out losses
    config = config_of(common, tmp_path / "run", bad_steps="skip", num_steps=2, ema_decay=0.0)
    train_until_export(config)
    steps = [line for line in lines(config.out) if "learning_rate" in line]
    assert [line["bad_steps"] for line in steps] == [1, 2]
    assert not any("loss" in line for line in steps)
    before, after = [line for line in lines(config.out) if "heldout_motion@0.5" in line]
    assert after == before | {"step": 2}


def test_a_bad_step_stops_the_run_before_it_changes_a_weight(common, tmp_path, poisoned):
    poisoned.add(5)  # held out, steps 1 and 2, held out, step 3
    config = config_of(common, tmp_path / "run", log_every=100)
    with pytest.raises(VideoJamError, match=r"a finite loss.*nan.*bad_steps: skip") as caught:
        train(config)
    assert caught.value.where == "step 3"
    assert [folder.name for folder in checkpoints(config.out)] == ["step_00000002"]


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_a_gradient_over_the_limit_is_a_bad_step(common, tmp_path, policy):
    config = config_of(
        common, tmp_path / "run", bad_steps=policy, optimizer={"largest_norm": 1e-9}, num_steps=25,
        checkpoint_every=100, validate_every=100,
    )  # fmt: skip
    found = r"norm of at most 1e-09" if policy == "stop" else r"20 steps in a row"
    with pytest.raises(VideoJamError, match=found):
        train(config)


def test_fused_adamw_leaves_a_bad_step_out_without_the_hosts_knowledge():
    """As on a GPU: weights, moments and the step's number stay, and the next good step goes on from them."""
    one, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    fused, plain = (torch.optim.AdamW([p], lr=0.1, fused=kind) for p, kind in ((one, True), (other, None)))
    assert skips_on_device(fused)
    assert not skips_on_device(plain)
    for norm in (1.0, float("nan"), 1.0):
        for p, optimizer in ((one, fused), (other, plain)):
            p.grad = torch.full((3,), norm)
            take_step([optimizer], torch.tensor(norm != norm))
            assert p.grad is None
    torch.testing.assert_close(one, other)
    assert float(fused.state[one]["step"]) == 2


# --- files ---


@pytest.mark.parametrize(
    ("damage", "workers", "num_done"),
    [
        ("vanishes", 0, 1),
        ("is changed", 0, 1),
        ("vanishes", 2, 2),
    ],  # with threads all four batches are read by then
)
def test_a_clip_that_is_lost_mid_run_stops_it_and_what_was_done_is_saved(
    common, unbroken, tmp_path, damage, workers, num_done
):
    cache = tmp_path / "cache"
    shutil.copytree(common["data"]["cache"], cache)
    data = copy.deepcopy(common["data"]) | {"cache": str(cache), "workers": workers}
    config = config_of(common, tmp_path / "run", data=data, checkpoint_every=100)
    kept = {}

    def lose(kind, content):
        if kind == "line" and content.get("step") == 1 and "loss" in content:
            for path in cache.rglob("*.safetensors"):
                kept[path] = path.read_bytes()
                path.unlink() if damage == "vanishes" else path.write_bytes(bytes(reversed(kept[path])))

    with pytest.raises(VideoJamError, match="cached latents") as caught:
        train(config, listen=lose)
    assert str(cache) in caught.value.where
    assert caught.value.expected.startswith("the cached latents of world seed ")
    assert [folder.name for folder in checkpoints(config.out)] == [f"step_{num_done:08d}"]
    for path, content in kept.items():
        path.write_bytes(content)
    train(config)
    assert all(torch.equal(tensor, weights(unbroken)[name]) for name, tensor in weights(config.out).items())
    losses = [[line for line in curve(out) if "loss" in line] for out in (config.out, unbroken)]
    assert losses[0] == losses[1]  # the held-out losses that could not be read then are not read again


def test_a_flipped_bit_in_the_newest_checkpoint_is_found_and_the_one_before_taken(common, unbroken, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    shutil.rmtree(out / "model")
    file = next((out / "checkpoints" / "step_00000004").glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    notes = []
    train(config_of(common, out), listen=lambda kind, said: notes.append(said) if kind == "note" else 0)
    assert "step_00000004 is damaged, and kept as damaged_step_00000004" in notes
    assert "resuming from step_00000002" in notes
    assert all(torch.equal(tensor, weights(unbroken)[name]) for name, tensor in weights(out).items())
    assert curve(out) == curve(unbroken)


def test_a_checkpoint_holds_the_state_of_its_step_whatever_the_steps_after_it_do(tmp_path, monkeypatch):
    may_write, real = threading.Event(), CheckpointWriter.write_data

    def write_data(self, *args):
        assert may_write.wait(60)
        return real(self, *args)

    monkeypatch.setattr(CheckpointWriter, "write_data", write_data)
    line = {"step": 3, "loss": 1.0, "bad": False}
    state = TrainState(3, {"w": torch.ones(2)}, {}, [], {"steps": 3}, Window([dict(line)]))
    with Saver(tmp_path, Votes(), 2, {}) as saver:
        saver.save(state)
        state.counts["steps"] = 4
        state.window.read += [{"step": 4}]
        state.parameters["w"].fill_(7.0)
        may_write.set()
    (folder,) = checkpoints(tmp_path)
    saved = read_state(folder)
    assert (saved["step"], saved["counts"], saved["window"]) == (3, {"steps": 3}, [line])
    assert load_file(next(folder.glob("*.safetensors")))["parameters/w"].tolist() == [1.0, 1.0]


def test_the_best_checkpoint_stays_beside_the_newest(tmp_path):
    for step, heldout in ((1, 0.5), (2, 0.3), (3, None), (4, 0.4), (5, 0.6)):
        folder = tmp_path / "checkpoints" / f"step_{step:08d}"
        folder.mkdir(parents=True)
        state = {"format": 2, "step": step, "counts": {}, "config": {}, "files": {}, "heldout": heldout}
        (folder / "state.json").write_text(json.dumps(state))
    newest_first = checkpoints(tmp_path)
    assert best_checkpoint(newest_first).name == "step_00000002"
    assert [folder.name[-1] for folder in to_remove(newest_first, 2)] == ["3", "1"]
    assert [folder.name[-1] for folder in to_remove(newest_first, 4)] == ["1"]


# --- going on ---


def test_all_fields_that_differ_are_named(common, unbroken):
    config = config_of(common, unbroken, seed=3, batch_size=4, method="plain", base="another")
    with pytest.raises(VideoJamError) as caught:
        resume.check_resume(config)
    for key, before, now in (
        ("seed", "0", "3"),
        ("batch_size", "2", "4"),
        ("method", "'videojam'", "'plain'"),
    ):
        assert f"{key} = {before}" in caught.value.expected
        assert f"{key} = {now}" in caught.value.found
    assert "base = 'another'" in caught.value.found


def test_packages_of_another_version_are_named_and_the_run_may_go_on(common, unbroken, monkeypatch):
    now = facts.versions()
    monkeypatch.setattr(resume, "versions", lambda: now | {"torch": "3.0", "peft": "9"})
    (note,) = resume.check_resume(config_of(common, unbroken))
    assert f"torch {now['torch']} → 3.0" in note
    assert f"peft {now['peft']} → 9" in note
    assert "diffusers" not in note


def test_resume_never_auto_or_from_a_checkpoint(common, unbroken, tmp_path):
    with pytest.raises(VideoJamError, match="resume: never"):
        resume.check_resume(config_of(common, unbroken, resume="never"))
    with pytest.raises(VideoJamError, match="the folder of a checkpoint"):
        resume.check_resume(config_of(common, tmp_path / "new", resume=str(tmp_path)))
    out, notes = tmp_path / "run", []
    shutil.copytree(unbroken, out)
    shutil.rmtree(out / "model")
    back = config_of(common, out, resume=str(out / "checkpoints" / "step_00000002"))
    train_until_export(back, listen=lambda kind, said: notes.append(said) if kind == "note" else 0)
    assert "a later checkpoint is kept as later_step_00000004" in notes
    assert curve(out) == curve(unbroken)
    other = config_of(common, tmp_path / "other", resume=str(unbroken / "checkpoints" / "step_00000002"))
    train_until_export(other)
    assert curve(other.out)[-1] == curve(unbroken)[-1]
    assert resume.candidates(other)[0] == other.out / "checkpoints" / "step_00000004"


def test_a_recipe_for_another_model_names_the_first_layer_that_is_not_there(common, tmp_path):
    config = config_of(common, tmp_path / "run", lora={"rank": 2, "target_modules": ["self_attn.qkv"]})
    with pytest.raises(VideoJamError, match=r"self_attn\.qkv"):
        train(config)
    with pytest.raises(VideoJamError, match="transformer_2"):
        train(config_of(common, tmp_path / "run", expert="transformer_2"))
    assert not (tmp_path / "run").exists()


# --- time ---


@pytest.mark.parametrize("how", ["max_minutes", "SIGUSR1"])
def test_the_end_of_the_time_saves_and_the_run_goes_on_to_the_same_curve(common, unbroken, tmp_path, how):
    changes = {"checkpoint_every": 100, "log_every": 3}
    if how == "max_minutes":
        changes["max_minutes"] = 1e-6

    def tell(kind, content):
        if how == "SIGUSR1" and kind == "line" and content["step"] == 0:
            signal.raise_signal(signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    out = tmp_path / "run"
    with pytest.raises(TimeIsUp):
        train(config_of(common, out, **changes), listen=tell)
    assert signal.getsignal(signal.SIGUSR1) is before
    assert [folder.name for folder in checkpoints(out)] == ["step_00000001"]
    train(config_of(common, out, checkpoint_every=100, log_every=3))
    train_until_export(config_of(common, tmp_path / "whole", checkpoint_every=100, log_every=3))
    assert curve(out) == curve(tmp_path / "whole")
    assert all(torch.equal(tensor, weights(unbroken)[name]) for name, tensor in weights(out).items())


def test_the_time_counts_what_a_step_and_a_checkpoint_take():
    stop = StopRequest(max_minutes=1.0, began=time.monotonic())
    assert not stop.is_time_over(30.0)
    assert stop.is_time_over(61.0)
    assert not StopRequest().is_time_over(1e9)


# --- killed ---


TELLS = """
import os, sys
from pathlib import Path
from videojam.training.run import train
path, recipe = Path(sys.argv[1]), sys.argv[2]
def listen(kind, content):  # its first line, or the checkpoint that it goes on from, says that steps begin
    if not path.exists() and (kind == "line" or str(content).startswith("resuming")):
        unfinished = path.with_name("unfinished")
        unfinished.write_text(str(os.getpid()))
        unfinished.rename(path)
train(recipe, listen=listen)
"""


def until(condition, seconds=300):
    """Wait for a condition; return whether it came."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


def newest(out):
    """The step of the newest checkpoint."""
    return max((int(folder.name.rpartition("_")[2]) for folder in checkpoints(out)), default=0)


@pytest.mark.slow
def test_a_run_that_is_killed_twenty_times_has_the_curve_of_an_unbroken_one(common, tmp_path, warm_python):
    """After a random number of steps, at a random moment of a step or while a checkpoint is written."""
    changes = {"num_steps": 80, "checkpoint_every": 1, "validate_every": 20, "log_every": 7}
    train(config_of(common, tmp_path / "whole", **changes))
    step_s = sorted(line["step_s"] for line in lines(tmp_path / "whole") if "loss" in line)[8]
    recipe, out, chance, ends, saving = tmp_path / "recipe.yaml", tmp_path / "run", random.Random(0), [], 0
    recipe.write_text(yaml.safe_dump(config_of(common, out, **changes).model_dump(mode="json")))
    for number in range(20):
        process = tmp_path / f"process{number}"
        thread = threading.Thread(
            target=lambda path=process: ends.extend(warm_python.run(TELLS, path, recipe)), daemon=True
        )
        thread.start()
        assert until(process.exists), "it never began its steps"
        target = newest(out) + chance.randrange(3)
        assert until(lambda target=target: newest(out) >= target)
        if number % 2:
            until(lambda: any(out.glob("checkpoints/.*.tmp-*")), 10 * step_s)
        else:
            time.sleep(chance.uniform(0, step_s))
        os.kill(int(process.read_text()), signal.SIGKILL)
        thread.join(timeout=60)
        assert ends[-1].returncode == -signal.SIGKILL, ends[-1].output[-2000:]
        saving += any(out.glob("checkpoints/.*.tmp-*"))
    assert saving >= 3, "hardly a kill came while a checkpoint was written"
    assert 10 <= newest(out) < 80
    train(config_of(common, out, **changes))
    assert curve(out) == curve(tmp_path / "whole")
    assert all(torch.equal(t, weights(tmp_path / "whole")[name]) for name, t in weights(out).items())


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_ends_or_hangs_stops_the_other_within_the_stated_time(common, ranks, tmp_path, sent):
    """One that ends is noticed in seconds; one that hangs after `parallel.timeout_s`."""
    config = config_of(
        common, tmp_path / "run", num_steps=100000, parallel={"timeout_s": 20.0}, checkpoint_every=5
    )
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    first, second = ranks([tmp_path / "recipe.yaml"], tmp_path)
    end = time.monotonic() + 300
    while not checkpoints(config.out) and time.monotonic() < end:
        time.sleep(0.1)
    second.send_signal(sent)
    try:
        code = first.wait(timeout=60)
    finally:
        first.kill()
        second.kill()
    said = (tmp_path / "rank0.txt").read_text()
    assert code == 1, said[-2000:]  # the worker shows the error as it is; the verb exits with 2
    assert "all 2 processes to go on" in said
    assert checkpoints(config.out)
