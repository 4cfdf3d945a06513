"""A motion video file gives back its flow, with the code of the model that made it."""

import json

import pytest
import torch
from safetensors.torch import load_file

from videojam import Guidance, VideoJamError, read_motion
from videojam.models.load import load_model
from videojam.models.record import MotionRecord
from videojam.motion.code import MotionCode
from videojam.motion.flow import motion_video
from videojam.motion.video import write_video
from videojam.sampling.generate import generate


def test_the_defaults_of_guidance_are_the_papers():
    assert (Guidance().w_text, Guidance().w_motion) == (5.0, 3.0)


@pytest.mark.parametrize("padding", ["first", "last"])
def test_a_constant_flow_comes_back(tmp_path, padding):
    code = MotionCode(padding=padding)
    flow = torch.tensor([3.0, -2.0])[None, :, None, None].expand(4, 2, 64, 96)
    path = tmp_path / "a.motion.mp4"
    write_video(path, motion_video(flow, code), fps=8)
    read = read_motion(path, code)
    assert read.shape == flow.shape
    assert (read - flow).norm(dim=1).max() < 0.5  # 8 bits and the codec's chroma
    record = MotionRecord(motion=code, base="tiny")
    (tmp_path / "manifest.json").write_text(
        json.dumps({"record": record.model_dump(mode="json"), "clips": []})
    )
    assert torch.equal(read_motion(path), read)


def test_motion_of_a_generation_is_read_with_its_record(tiny_joints, tmp_path):
    model = load_model(tiny_joints["t2v"])
    out = tmp_path / "out"
    generate(model, ["a wheel"], out, num_frames=5, height=32, width=32, num_steps=1)
    flow = load_file(next(out.glob("*.flow.safetensors")))["flow"]
    read = read_motion(next(out.glob("*.motion.mp4")))
    assert read.shape == flow.shape
    assert torch.equal(read, read_motion(next(out.glob("*.motion.mp4")), model.record.motion))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        ({"record": None, "clips": []}, "base model"),
        ({"record": {"x": 1}, "clips": []}, "no key motion"),
    ],
)
def test_a_file_that_does_not_say_how_it_was_drawn_is_refused(tmp_path, content, found):
    path = tmp_path / "a.mp4"
    write_video(path, torch.zeros(2, 3, 32, 32, dtype=torch.uint8), fps=8)
    if content is not None:
        (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(VideoJamError, match="code=") as error:
        read_motion(path)
    assert found in str(error.value)
