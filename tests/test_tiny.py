"""The shipped pipelines: what is stored once comes together again as a stock folder."""

from __future__ import annotations

import shutil

import pytest
import torch

import videojam.tiny
from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.models.load import load_model
from videojam.models.record import RECORD_NAME
from videojam.tiny import PACKAGE_FOLDER, TINY_NAMES, tiny_folder


@pytest.fixture
def package(tiny_wan, tmp_path, monkeypatch):
    """A package folder in the shipped layout, with random weights."""
    root = tmp_path / "package"
    shutil.copytree(tiny_wan, root / "base")
    joint = convert(tiny_wan, tmp_path / "joint")
    shutil.copytree(joint / "transformer", root / "videojam" / "transformer")
    shutil.copy(joint / RECORD_NAME, root / "videojam")
    monkeypatch.setattr(videojam.tiny, "PACKAGE_FOLDER", root)
    return root


def test_a_model_that_shares_the_bases_parts_loads_whole(package):
    base, joint = load_model("tiny:base"), load_model("tiny:videojam")
    assert not base.is_joint
    assert joint.is_joint
    assert joint.source == "tiny:videojam"
    weights = zip(base.pipeline.vae.parameters(), joint.pipeline.vae.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    assert joint.pipeline.transformer.config.in_channels == 2 * base.pipeline.transformer.config.in_channels


def test_its_folder_is_a_stock_folder_for_every_verb(package, tmp_path):
    folder = tiny_folder("videojam")
    assert (folder / "model_index.json").is_file()
    assert (folder / RECORD_NAME).is_file()
    assert tiny_folder("tiny:videojam") == folder
    out = convert("tiny:base", tmp_path / "out")
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert load_model(out).record.base == "tiny:base"
    with pytest.raises(VideoJamError, match="joint model"):
        convert("tiny:videojam", tmp_path / "again")


def test_an_unknown_or_missing_model_is_named(package):
    with pytest.raises(VideoJamError, match="tiny:bas'"):
        load_model("tiny:bas")
    with pytest.raises(VideoJamError, match="control"):
        load_model("tiny:control")


def test_shipped_models_load_in_plain_diffusers_without_this_package(warm_python):
    code = (
        "import sys\nfrom diffusers import WanPipeline\n"
        "for folder in sys.argv[1:]:\n"
        "    pipe = WanPipeline.from_pretrained(folder)\n"
        "    parts = pipe.transformer, pipe.vae, pipe.text_encoder\n"
        "    print('found', *(type(part).__name__ for part in parts))\n"
        "assert 'videojam' not in sys.modules\n"
    )
    (done,) = warm_python.run(code, *(tiny_folder(name) for name in TINY_NAMES))
    assert done.returncode == 0, done.output
    found = [line for line in done.output.splitlines() if line.startswith("found")]
    assert found == ["found WanTransformer3DModel AutoencoderKLWan UMT5EncoderModel"] * 3


def test_shipped_models_are_small_and_safetensors():
    files = [path for name in TINY_NAMES for path in (PACKAGE_FOLDER / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8e6
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
