"""Files of a generation, read back; and verification of a saved model."""

from __future__ import annotations

import json
import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_pipelines import randomise_projections

from videojam.errors import VideoJamError
from videojam.guidance.config import Guidance
from videojam.models.load import load_model
from videojam.models.record import FINGERPRINT_NAME, SamplingDefaults, save_defaults
from videojam.motion.flow import decode_motion_video
from videojam.motion.video import read_video
from videojam.sampling.checks import require_texts
from videojam.sampling.generate import generate, slug
from videojam.sampling.manifest import FROM, read_manifest
from videojam.sampling.sample import sample
from videojam.sampling.verify import save_fingerprint, verify

SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8, "num_steps": 2}
PROMPTS = ["A red ball, moves left!", "green wheel"]


@pytest.fixture
def joint(tiny_joints, tmp_path):
    folder = shutil.copytree(tiny_joints["t2v"], tmp_path / "joint")
    save_defaults(SamplingDefaults(fps=12.0), folder)
    return folder


def test_clips_flow_and_manifest(joint, tmp_path):
    model = load_model(joint)
    path = generate(model, PROMPTS, tmp_path / "out", seed=4, side_by_side=True, **SIZE)
    manifest = json.loads(path.read_text())
    assert [clip["seed"] for clip in manifest["clips"]] == [4, 5]
    assert manifest["fps"] == 12.0
    assert manifest["motion_window"]["steps"] == [0, 1]
    assert manifest["motion_window"]["text"].startswith("motion guidance in steps 0..0 of 2, t = 0.000..")
    assert manifest["motion_window"]["t"][1] == pytest.approx(manifest["times"][1])
    assert manifest["guidance"]["w_text"] == 5.0
    assert len(manifest["std_d"]) == len(manifest["expected_std_d"]) == 2
    files = manifest["clips"][0]["files"]
    assert files["video"] == "000_a-red-ball-moves-left.mp4"
    clip = read_video(tmp_path / "out" / files["video"])
    assert clip.frames.shape == (5, 3, 32, 32)
    assert clip.fps == pytest.approx(12.0)
    assert read_video(tmp_path / "out" / files["side_by_side"]).frames.shape == (5, 3, 32, 64)
    out = sample(model, PROMPTS[:1], seeds=4, **SIZE)
    assert torch.equal(load_file(tmp_path / "out" / files["flow"])["flow"], out.flow[0])
    assert not list((tmp_path / "out").glob(".*"))


def test_flow_is_read_from_the_decoded_motion_half(joint):
    model = load_model(joint)
    randomise_projections(model.pipeline)
    out = sample(model, PROMPTS, **SIZE)
    assert out.flow.shape == (2, 4, 2, 32, 32)
    from_pixels = decode_motion_video(out.motion_video[0], model.record.motion)
    full_scale_px = model.record.motion.full_scale_px(32, 32)
    assert (out.flow[0] - from_pixels).norm(dim=1).mean() < 0.05 * full_scale_px  # 8-bit rounding
    assert out.flow.abs().max() > 0


def test_a_full_disk_loses_nothing_and_the_same_call_goes_on(joint, tmp_path):
    """Files may grow to so many bytes only, which is what a full disk looks like."""
    model, out = load_model(joint), tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (100, 2_500, 8_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(VideoJamError, match=r"[Ff]ree space"):
                generate(model, PROMPTS, out, **SIZE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not list(out.glob(".*"))
    manifest = json.loads(generate(model, PROMPTS, out, **SIZE).read_text())
    generate(model, PROMPTS, tmp_path / "undisturbed", **SIZE)
    names = [name for clip in manifest["clips"] for name in clip["files"].values()]
    assert len(names) == 6
    assert all((out / n).read_bytes() == (tmp_path / "undisturbed" / n).read_bytes() for n in names)


def test_base_gives_the_video_alone(tiny_wan, tmp_path):
    path = generate(load_model(tiny_wan), PROMPTS[1:], tmp_path, **SIZE)
    manifest = json.loads(path.read_text())
    assert manifest["clips"][0]["files"] == {"video": "000_green-wheel.mp4"}
    assert manifest["guidance"]["mode"] == "cfg"
    assert manifest["fps"] == 16.0  # Wan's own
    assert manifest["motion_window"] is None


def test_clips_do_not_depend_on_the_batch_size(joint, tmp_path):
    model = load_model(joint)
    for batch_size in (1, 2):
        generate(model, PROMPTS, tmp_path / str(batch_size), batch_size=batch_size, **SIZE)
    name = "001_green-wheel.flow.safetensors"
    one, two = (load_file(tmp_path / size / name)["flow"] for size in ("1", "2"))
    assert torch.allclose(one, two, atol=1e-3)


def test_output_that_cannot_be_written(joint, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VideoJamError, match="write"):
        generate(load_model(joint), PROMPTS, tmp_path / "file" / "out", **SIZE)


def test_slug():
    assert slug("Ünïcode & symbols: 2 balls!") == "n-code-symbols-2-balls"
    assert slug("???") == "clip"
    assert len(slug("word " * 50)) <= 40


def test_verify_compares_with_what_was_trained(joint):
    model = load_model(joint)
    assert verify(joint).stored == "absent"
    save_fingerprint(model, joint)
    report = verify(joint)
    assert report.ok
    assert report.repeats
    assert report.stored == "equal"
    assert report.is_joint


def test_verify_sees_a_model_that_is_not_the_saved_one(joint):
    model = load_model(joint)
    randomise_projections(model.pipeline)  # trained in memory, never saved
    save_fingerprint(model, joint)
    report = verify(joint)
    assert report.stored == "differs"
    assert report.max_difference > 1e-3
    assert not report.ok


@pytest.mark.parametrize("kind", ["i2v", "per_token", "experts"])
def test_verify_runs_on_every_kind(tiny_joints, tmp_path, kind):
    folder = shutil.copytree(tiny_joints[kind], tmp_path / kind)
    save_fingerprint(load_model(folder), folder)
    assert (folder / FINGERPRINT_NAME).is_file()
    assert verify(folder).stored == "equal"


def test_default_guidance_is_the_papers():
    config = Guidance()
    assert (config.mode, config.w_text, config.w_motion, config.motion_on) == ("inner", 5.0, 3.0, "both")


def test_an_interrupted_generation_goes_on(joint, tmp_path):
    model, out = load_model(joint), tmp_path / "out"

    class Interrupting:
        def on_step(self, done, total):
            if done > 2:  # in the second clip
                raise KeyboardInterrupt

        def on_clip(self, path, clip):
            pass

    with pytest.raises(KeyboardInterrupt):
        generate(model, PROMPTS, out, listener=Interrupting(), **SIZE)
    assert [clip["index"] for clip in json.loads((out / "manifest.json").read_text())["clips"]] == [0]
    first = (out / "000_a-red-ball-moves-left.mp4").stat().st_mtime_ns
    generate(model, PROMPTS, out, **SIZE)
    assert (out / "000_a-red-ball-moves-left.mp4").stat().st_mtime_ns == first
    whole = generate(model, PROMPTS, tmp_path / "whole", **SIZE)
    for name in ("001_green-wheel.mp4", "001_green-wheel.flow.safetensors"):
        assert (out / name).read_bytes() == (whole.parent / name).read_bytes()


def test_a_used_folder_is_refused_and_nothing_is_lost(joint, tmp_path):
    model, out = load_model(joint), tmp_path / "out"
    before = generate(model, PROMPTS[:1], out, **SIZE).read_bytes()
    for changes in ({"seed": 1}, {"w_text": 1.0}, {"num_steps": 1}):
        with pytest.raises(VideoJamError, match="another generation"):
            generate(model, PROMPTS[:1], out, **SIZE | changes)
    assert (out / "manifest.json").read_bytes() == before
    (out / "manifest.json").unlink()
    with pytest.raises(VideoJamError, match="no manifest"):
        generate(model, PROMPTS[:1], out, **SIZE)


def test_another_model_or_type_under_the_same_name_does_not_go_on(joint, tmp_path):
    """A clip is a function of prompt, seed and weights; one folder holds clips of one model."""
    model, out = load_model(joint), tmp_path / "out"
    path = generate(model, PROMPTS[:1], out, **SIZE)
    (out / "000_a-red-ball-moves-left.mp4").unlink()
    for name, other in (
        ("dtype", load_model(joint, torch_dtype=torch.bfloat16)),
        ("weights", randomise_projections(model.pipeline) or model),  # trained again, saved in its place
    ):
        with pytest.raises(VideoJamError, match=name):
            generate(other, PROMPTS[:1], out, **SIZE)
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps({key: content[key] for key in content if key not in FROM})
    )  # an older version's
    generate(model, PROMPTS[:1], out, **SIZE)
    assert (out / "000_a-red-ball-moves-left.mp4").is_file()


@pytest.mark.parametrize("line", [1, {}, {"index": "x", "files": {}}, {"index": 0, "files": ["a.mp4"]}])
def test_a_manifest_with_other_lines_is_refused(tmp_path, line):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"clips": [line]}))
    with pytest.raises(VideoJamError, match="lack index or files"):
        read_manifest(path)


@pytest.mark.parametrize("text", ["a \udcff cat", None, 3])
def test_what_no_tokenizer_reads_is_refused(text):
    """The command line keeps bytes that are no UTF-8 as half characters."""
    with pytest.raises(VideoJamError, match="whole characters"):
        require_texts(["a cat", text])


def test_a_refused_generation_leaves_no_folder(joint, tmp_path):
    model = load_model(joint)
    for changes in ({"seed": -1}, {"height": 33}, {"num_frames": 2}, {"w_motion": float("inf")}):
        with pytest.raises(VideoJamError):
            generate(model, PROMPTS, tmp_path / "new" / "out", **SIZE | changes)
        assert not (tmp_path / "new").exists()


def test_a_fingerprint_that_cannot_be_read(joint):
    (joint / FINGERPRINT_NAME).write_bytes(b"garbage")
    with pytest.raises(VideoJamError, match="fingerprint"):
        verify(joint)
