"""Clips of arms: shared noise, batches, ranks, resuming, stock pipelines, and what is refused."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

from videojam.bench.folder import Bench, write_sealed
from videojam.bench.make.arms import parse_arm
from videojam.bench.make.generate import batches_of, generate_arm
from videojam.bench.make.suites import load_suite
from videojam.bench.manifest import read_manifest
from videojam.bench.work import Rank, Work
from videojam.errors import VideoJamError
from videojam.fingerprints import of_model_folder
from videojam.motion.video import probe_video, read_video
from videojam.world import WorldConfig, sample_clip

SIZE = "steps=2,frames=9,height=32,width=32,fps=12"


def contents(bench: Bench, arm: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bench.arm_folder(arm).glob("*.mp4")}


@pytest.fixture(scope="module")
def made(four_prompts, tiny_wan, joint_wan, tmp_path_factory):
    """Base and joint, one clip a prompt, in batches of three."""
    bench = Bench.create(tmp_path_factory.mktemp("made") / "bench", four_prompts)
    for name, source in (("base", tiny_wan), ("joint", joint_wan)):
        generate_arm(bench, parse_arm(f"{name}={source},{SIZE}"), Work(batch_size=3))
    return bench


def test_base_and_untrained_joint_model_draw_the_same_from_the_same_noise(made):
    base = contents(made, "base")
    joint = contents(made, "joint")
    assert sorted(base) == sorted(f"{item.key}.mp4" for item in made.items)
    assert {name: joint[name] for name in base} == base
    assert len(set(base.values())) == 4
    assert sorted(joint.keys() - base.keys()) == sorted(f"{item.key}.motion.mp4" for item in made.items)


def test_manifest_tells_what_made_the_clips(made, joint_wan):
    manifest = read_manifest(made, "joint")
    assert (manifest.num_frames, manifest.height, manifest.width, manifest.fps) == (9, 32, 32, 12)
    assert manifest.asked["source"] == str(joint_wan)
    assert manifest.facts["guidance"]["mode"] == "inner"
    assert manifest.facts["num_steps"] == 2
    assert manifest.facts["window"].startswith("motion guidance in steps 0..0 of 2")
    assert manifest.noise == read_manifest(made, "base").noise
    assert {"videojam", "torch", "diffusers"} <= manifest.versions[0].keys()
    info = probe_video(made.clip("joint", made.items[0]))
    assert (info.num_frames, info.height, info.width, info.fps) == (9, 32, 32, 12)


def test_neither_ranks_nor_a_resumed_run_change_a_clip(made, bench, tiny_wan):
    """Batches are a function of the suite: [0, 1, 2] and [3]; rank 1 of 2 makes the second."""
    spec = parse_arm(f"base={tiny_wan},{SIZE}")
    generate_arm(bench, spec, Work(Rank(1, 2), batch_size=3))
    assert list(contents(bench, "base")) == [f"{bench.items[3].key}.mp4"]
    generate_arm(bench, spec, Work(Rank(0, 2), batch_size=3))
    assert contents(bench, "base") == contents(made, "base")


def test_only_what_is_missing_is_made(made, bench, tiny_wan, monkeypatch):
    """A missing clip is sampled in the batch that it was made in, and nothing else of that batch is written."""
    shutil.copytree(made.arm_folder("base"), bench.arm_folder("base"))
    first, lost = bench.items[0], bench.items[1]
    bench.clip("base", lost).unlink()
    before = bench.clip("base", first).stat().st_mtime_ns
    seen = []
    spec, work = parse_arm(f"base={tiny_wan},{SIZE}"), Work(batch_size=3)
    generate_arm(bench, spec, work, on_clip=lambda *n: seen.append(n))
    assert seen == [(3, 4), (4, 4)]
    assert contents(bench, "base") == contents(made, "base")
    assert bench.clip("base", first).stat().st_mtime_ns == before
    # Finished: the model isn't even loaded.
    monkeypatch.setattr("videojam.bench.make.generate.load_sampler", None)
    generate_arm(bench, spec, work)


@pytest.mark.parametrize(
    ("work", "found"),
    [
        (Work(batch_size=1), "batch_size = 3"),
        (Work(batch_size=3, dtype=torch.bfloat16), 'dtype = "float32"'),
    ],
)
def test_what_moves_a_clip_by_rounding_is_not_mixed(made, tiny_wan, bench, work, found):
    shutil.copytree(made.arm_folder("base"), bench.arm_folder("base"))
    spec = parse_arm(f"base={tiny_wan},{SIZE}")
    generate_arm(bench, spec, work)  # nothing is missing
    bench.clip("base", bench.items[1]).unlink()
    with pytest.raises(VideoJamError, match=re.escape(found)):
        generate_arm(bench, spec, work)


def test_an_arm_of_an_earlier_version_is_not_added_to(made, tiny_wan, bench):
    shutil.copytree(made.arm_folder("base"), bench.arm_folder("base"))
    path = bench.arm_folder("base") / "manifest.json"
    old = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("rounding", "sha256")}
    path.write_text(json.dumps(old))
    spec = parse_arm(f"base={tiny_wan},{SIZE}")
    generate_arm(bench, spec)  # nothing is missing
    bench.clip("base", bench.items[1]).unlink()
    with pytest.raises(VideoJamError, match="earlier version"):
        generate_arm(bench, spec)


def test_more_seeds_change_no_batch(four_prompts, tmp_path):
    one, two = (Bench.create(tmp_path / str(n), four_prompts, n).items for n in (1, 2))
    assert batches_of(two, 3)[:2] == batches_of(one, 3)
    assert [len(batch) for batch in batches_of(two, 3)] == [3, 1, 3, 1]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"name": "base"}', b"\xff\xfe", "{edited}"],
)
def test_a_damaged_or_edited_manifest_is_refused(made, bench, content):
    shutil.copytree(made.arm_folder("base"), bench.arm_folder("base"))
    path = bench.arm_folder("base") / "manifest.json"
    if content == "{edited}":
        content = path.read_text().replace('"num_frames": 9', '"num_frames": 8')
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert bench.arms == ["base"]
    with pytest.raises(VideoJamError, match=r"manifest\.json"):
        read_manifest(bench, "base")


def test_other_settings_or_another_model_are_not_mixed_in(made, tiny_wan, tmp_path):
    with pytest.raises(VideoJamError, match="w_text"):
        generate_arm(made, parse_arm(f"base={tiny_wan},{SIZE},w_text=9"))
    trained = shutil.copytree(tiny_wan, tmp_path / "wan")
    weights = next((trained / "transformer").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    folder = made.arm_folder("base")
    manifest = (folder / "manifest.json").read_text()
    changed = json.loads(manifest.replace(str(tiny_wan), str(trained)))
    del changed["sha256"]
    write_sealed(folder / "manifest.json", changed)
    with pytest.raises(VideoJamError, match="the model's files"):
        generate_arm(made, parse_arm(f"base={trained},{SIZE}"))
    (folder / "manifest.json").write_text(manifest)


def test_a_stock_pipeline_as_it_is_draws_what_the_base_arm_draws(made, bench, tiny_wan):
    """The base arm is the stock pipeline: the same latents, decoded here in one go."""
    generate_arm(bench, parse_arm(f"stock={tiny_wan},{SIZE},w_text=5,pipeline=stock"), Work(batch_size=4))
    assert read_manifest(bench, "stock").facts["pipeline"] == "WanPipeline"
    for item in bench.items:
        mine = read_video(bench.clip("stock", item)).frames.int()
        base = read_video(made.clip("base", item)).frames.int()
        assert (mine - base).abs().float().mean() < 1  # both went through x264


def test_a_stock_pipeline_of_unknown_rate_or_setting_is_told(bench, tiny_wan):
    with pytest.raises(VideoJamError, match="w_motion"):
        generate_arm(bench, parse_arm(f"stock={tiny_wan},w_motion=1,pipeline=stock"))


def test_a_model_that_borrows_parts_by_links_is_told_by_its_own_weights(tmp_path):
    """As the shipped ones do: only the weights of the transformer differ."""
    for name in ("a", "b"):
        weights = tmp_path / f"store-{name}"
        weights.mkdir()
        (weights / "w.safetensors").write_bytes(name.encode() * 100)
        (tmp_path / name).mkdir()
        (tmp_path / name / "transformer").symlink_to(weights)
    assert of_model_folder(tmp_path / "a") != of_model_folder(tmp_path / "b")
    (tmp_path / "store-b" / "w.safetensors").write_bytes(b"a" * 100)
    assert of_model_folder(tmp_path / "a") == of_model_folder(tmp_path / "b")


def test_the_worlds_own_clips_are_an_arm(bench):
    generate_arm(bench, parse_arm("truth=world:truth,frames=7,height=128,width=128"))
    for item in bench.items:
        frames = read_video(bench.clip("truth", item)).frames
        assert frames.shape == (7, 3, 128, 128)
        clip = sample_clip(item.prompt.seed, WorldConfig(num_frames=7, pixel_px=16), item.prompt.text)
        assert clip.caption == item.prompt.text
        assert (frames.float() - clip.video.float()).abs().mean() < 4
    with pytest.raises(VideoJamError, match="the same multiple of 8"):
        generate_arm(bench, parse_arm("wide=world:truth,height=64,width=128"))


def test_a_clip_that_cannot_be_made_is_noted_and_the_rest_goes_on(bench, tiny_wan, monkeypatch):
    from videojam.bench.make.sources import ModelSampler

    make = ModelSampler.make
    bad = bench.items[2].prompt.id

    def broken(self, items):
        if any(item.prompt.id == bad for item in items):
            raise VideoJamError(expected="finite", found="NaN", where="here", fix="no")
        return make(self, items)

    monkeypatch.setattr(ModelSampler, "make", broken)
    generate_arm(bench, parse_arm(f"base={tiny_wan},{SIZE}"), Work(batch_size=4))
    assert len(contents(bench, "base")) == 3
    assert bench.failures("base") == {f"{bad}_s0": "could not be made: NaN"}


def test_running_out_of_memory_stops_the_bench_and_marks_no_clip_as_failed(bench, tiny_wan, monkeypatch):
    """It is the machine's lack and not the clip's: the same command makes the others when there is memory."""
    from videojam.sampling import sample

    run, calls = sample._run_pipeline, []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return run(*arguments)

    monkeypatch.setattr(sample, "_run_pipeline", full)
    arm = parse_arm(f"base={tiny_wan},{SIZE}")
    with pytest.raises(VideoJamError, match="batch size") as stopped:
        generate_arm(bench, arm, Work(batch_size=2))
    assert stopped.value.expected == "memory for 2 × 9 frames of 32×32 px"
    assert "20.00 GiB" in stopped.value.found
    assert (len(contents(bench, "base")), bench.failures("base")) == (2, {})
    generate_arm(bench, arm, Work(batch_size=2))
    assert len(contents(bench, "base")) == 4


def test_when_nothing_can_be_made_the_reason_is_told(bench, tiny_wan):
    with pytest.raises(VideoJamError, match="cfg, auto or none"):
        generate_arm(bench, parse_arm(f"base={tiny_wan},{SIZE},mode=inner"))
    with pytest.raises(VideoJamError, match=r"^tiny:control: "):  # put together in a temporary folder
        generate_arm(bench, parse_arm("control=tiny:control,mode=inner"))


def test_seeds_give_other_noise_and_the_first_ones_stay(four_prompts, tmp_path):
    one = Bench.create(tmp_path / "b", four_prompts)
    two = Bench.create(tmp_path / "b", four_prompts, num_seeds=2)
    assert [i.key for i in two.items[:4]] == [i.key for i in one.items]
    assert len({i.noise_seed for i in two.items}) == 8
    assert torch.Generator().manual_seed(two.items[-1].noise_seed)


def test_another_suite_in_the_same_folder_is_refused(bench):
    with pytest.raises(VideoJamError, match="motion-128"):
        Bench.create(bench.folder, load_suite("motion-128"))
    assert len(Bench.create(bench.folder, load_suite("world")).items) == 256


def test_a_rank_beyond_their_number_is_refused():
    with pytest.raises(VideoJamError, match="rank 2 of 2"):
        Rank(2, 2)
