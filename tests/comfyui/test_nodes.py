"""The nodes by their contract: what each asks for and gives, without ComfyUI."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import tomllib
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, safe_open

import videojam
from videojam.errors import VideoJamError
from videojam.models.record import MotionRecord
from videojam.motion.code import MotionCode
from videojam.sampling.request import draw_noise

from .conftest import FOLDER

CORE = {  # what the example workflows use of ComfyUI itself: types in, types out
    "CLIPLoader": ([], ["CLIP"]),
    "VAELoader": ([], ["VAE"]),
    "UNETLoader": ([], ["MODEL"]),
    "ModelSamplingSD3": (["MODEL"], ["MODEL"]),
    "CLIPTextEncode": (["CLIP"], ["CONDITIONING"]),
    "KSamplerSelect": ([], ["SAMPLER"]),
    "BasicScheduler": (["MODEL"], ["SIGMAS"]),
    "SamplerCustomAdvanced": (["NOISE", "GUIDER", "SAMPLER", "SIGMAS", "LATENT"], ["LATENT", "LATENT"]),
    "RandomNoise": ([], ["NOISE"]),
    "CFGGuider": (["MODEL", "CONDITIONING", "CONDITIONING"], ["GUIDER"]),
    "EmptyHunyuanLatentVideo": ([], ["LATENT"]),
    "VAEDecode": (["LATENT", "VAE"], ["IMAGE"]),
    "SaveAnimatedWEBP": (["IMAGE"], []),
    "MarkdownNote": ([], []),
}


class Format:
    """A base's latent format: (z − mean) / std for two channels."""

    latent_channels, latent_dimensions = 2, 3
    spacial_downscale_ratio, temporal_downscale_ratio = 8, 4
    latent_rgb_factors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]  # noqa: RUF012
    taesd_decoder_name = "taew"
    mean, std = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1, 1), torch.tensor([2.0, 4.0]).view(1, 2, 1, 1, 1)

    def process_in(self, latent):
        return (latent - self.mean) / self.std

    def process_out(self, latent):
        return latent * self.std + self.mean


@pytest.fixture
def folder_paths(monkeypatch, tmp_path):
    """ComfyUI's folders, with one file in each."""
    module = ModuleType("folder_paths")
    module.get_filename_list = lambda kind: ["one.safetensors"]
    module.get_output_directory = lambda: str(tmp_path)
    module.get_save_image_path = lambda prefix, folder: (str(tmp_path / "flow"), "clip", 3, "flow", prefix)
    monkeypatch.setitem(sys.modules, "folder_paths", module)
    return module


def node(pack, name):
    return pack.NODE_CLASS_MAPPINGS[name]()


def test_every_node_keeps_the_contract(pack, folder_paths):
    assert pack.NODE_CLASS_MAPPINGS.keys() == pack.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for kind in pack.NODE_CLASS_MAPPINGS.values():
        asked = kind.INPUT_TYPES()["required"]
        signature = inspect.signature(getattr(kind, kind.FUNCTION)).parameters
        assert list(asked) == list(signature)[1:]  # after self
        assert all(isinstance(entry, tuple) and len(entry) == 2 for entry in asked.values())
        assert len(kind.RETURN_TYPES) == len(getattr(kind, "RETURN_NAMES", kind.RETURN_TYPES))
        assert kind.DESCRIPTION
        assert kind.RETURN_TYPES or kind.OUTPUT_NODE


def test_nothing_of_comfyui_is_imported_with_the_pack():
    """Its modules are imported where a node runs, so that they can be replaced."""
    for file in FOLDER.glob("*.py"):
        tree = ast.parse(file.read_text())
        named = {
            name.name.split(".")[0]
            for item in tree.body
            for name in (item.names if isinstance(item, ast.Import) else [])
        } | {
            item.module.split(".")[0]
            for item in tree.body
            if isinstance(item, ast.ImportFrom) and not item.level
        }
        assert not named & {"comfy", "folder_paths", "nodes", "comfy_api", "comfy_extras"}, file


def test_the_packs_own_project_file_is_what_the_registry_asks_for():
    content = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    project = content["project"]
    assert project["version"] == videojam.__version__
    assert project["license"] == {"text": "Apache-2.0"}
    assert not project["name"].lower().startswith("comfyui")
    assert {"PublisherId", "DisplayName"} <= content["tool"]["comfy"].keys()
    assert (FOLDER / "requirements.txt").read_text().split() == project["dependencies"]
    assert (FOLDER / "LICENSE").read_text() == (FOLDER.parent / "LICENSE").read_text()


def test_the_latent_format_scales_each_half_as_the_base_does(latents):
    joint = latents.JointFormat(Format(), gain=3.0)
    assert (joint.latent_channels, joint.latent_dimensions, joint.spacial_downscale_ratio) == (4, 3, 8)
    assert joint.taesd_decoder_name is None
    assert joint.latent_rgb_factors == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 0],
        [0, 0, 0],
    ]  # a preview of the appearance
    raw = torch.tensor([3.0, 2.0, 5.0, -6.0]).view(1, 4, 1, 1, 1)
    assert joint.process_in(raw).flatten().tolist() == [
        1.0,
        1.0,
        6.0,
        -3.0,
    ]  # (3−1)/2, (2+2)/4, 3·(5−1)/2, 3·(−6+2)/4
    assert torch.equal(joint.process_out(joint.process_in(raw)), raw)


def test_a_base_of_48_channels_gets_the_format_of_wan_2_2(latents, monkeypatch):
    """ComfyUI takes TI2V-5B's joint transformer, which writes 96 channels, for a Wan 2.1."""
    formats = ModuleType("comfy.latent_formats")
    formats.Wan21 = type("Wan21", (Format,), {"latent_channels": 16})
    formats.Wan22 = type("Wan22", (Format,), {"latent_channels": 48})
    comfy = ModuleType("comfy")
    comfy.latent_formats = formats
    monkeypatch.setitem(sys.modules, "comfy", comfy)
    monkeypatch.setitem(sys.modules, "comfy.latent_formats", formats)
    assert latents.base_format(formats.Wan21(), 16).latent_channels == 16
    assert latents.base_format(formats.Wan21(), 48).latent_channels == 48
    with pytest.raises(VideoJamError, match="17"):
        latents.base_format(formats.Wan21(), 17)


def test_empty_latent_split_and_a_model_of_another_loader(pack, latents):
    model = SimpleNamespace(get_model_object={"latent_format": latents.JointFormat(Format())}.get)
    (empty,) = node(pack, "VideoJAMEmptyLatent").make(model, 64, 32, 9, 2)
    assert empty["samples"].shape == (2, 4, 3, 4, 8)
    assert not empty["samples"].any()
    full = {"samples": torch.arange(4.0).view(1, 4, 1, 1, 1), "batch_index": [0]}
    video, motion = node(pack, "VideoJAMSplitLatent").halve(full)
    assert (video["samples"].flatten().tolist(), motion["samples"].flatten().tolist()) == ([0, 1], [2, 3])
    assert video["batch_index"] == [0]
    other = SimpleNamespace(get_model_object={"latent_format": Format()}.get)
    with pytest.raises(VideoJamError, match="Load VideoJAM Model"):
        node(pack, "VideoJAMEmptyLatent").make(other, 64, 32, 9, 1)


def test_noise_is_that_of_generate_and_its_appearance_that_of_comfyui(pack, trained_joint):
    (noise,) = node(pack, "VideoJAMNoise").make(7)
    expected = draw_noise(trained_joint, [7, 8], 9, 32, 32)
    assert torch.equal(noise.generate_noise({"samples": torch.zeros_like(expected)}), expected)
    of_core = torch.randn(
        expected[:1, :4].shape, generator=torch.manual_seed(7)
    )  # RandomNoise for the base's latent
    assert torch.equal(expected[:1, :4], of_core)


class Vae:
    """Decodes a latent to the picture that it names."""

    def __init__(self, videos):
        self.videos = videos

    def decode(self, latent):
        return self.videos[int(latent.flatten()[0])].movedim(1, -1)[None].float() / 255


def test_motion_becomes_picture_arrows_and_flow_and_flow_becomes_files(pack, folder_paths, tmp_path):
    code = MotionCode(scale=0.2)
    flows = [torch.zeros(2, 2, 32, 32), torch.zeros(2, 2, 32, 32)]
    flows[1][:, 0] = 4.0
    vae = Vae([code.draw(flow) for flow in flows])
    latent = {"samples": torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1)}
    frames = torch.full((6, 32, 32, 3), 0.5)
    record = MotionRecord(motion=code, base="base")
    decoder = node(pack, "VideoJAMDecodeMotion")
    picture, arrows, found = decoder.decode(latent, vae, record, frames)
    assert picture.shape == arrows.shape == (6, 32, 32, 3)
    assert [tuple(flow.shape) for flow in found] == [(2, 2, 32, 32)] * 2
    for flow, expected in zip(found, flows, strict=True):  # 8 bits of colour
        torch.testing.assert_close(flow, expected, rtol=0, atol=code.full_scale_px(32, 32) / 255)
    assert arrows[:3].std() < arrows[3:].std()  # arrows only where something moves
    with pytest.raises(VideoJamError, match="6 frames"):
        decoder.decode(latent, vae, record, frames[:5])

    shown = node(pack, "VideoJAMSaveFlow").save(found, "flow/clip")
    assert shown["ui"]["text"] == ["clip_00003_.flow.safetensors", "clip_00004_.flow.safetensors"]
    path = tmp_path / "flow" / "clip_00004_.flow.safetensors"
    assert torch.equal(load_file(path)["flow"], found[1])
    with safe_open(path, framework="pt") as stored:
        assert stored.metadata()["unit"] == "px/frame"


@pytest.mark.parametrize(
    "file", sorted((FOLDER / "example_workflows").glob("*.json")), ids=lambda file: file.stem
)
def test_workflows_fit_the_nodes(pack, folder_paths, file):
    """Each link joins an output to an input of its type; each node has a value for each of its widgets."""
    graph = json.loads(file.read_text())
    nodes = {entry["id"]: entry for entry in graph["nodes"]}
    joined = {"MODEL", "CONDITIONING", "LATENT", "VAE", "IMAGE", "VIDEOJAM_MOTION", "VIDEOJAM_FLOW"}
    for entry in nodes.values():
        kind = pack.NODE_CLASS_MAPPINGS.get(entry["type"])
        ins, outs = [part["type"] for part in entry["inputs"]], [part["type"] for part in entry["outputs"]]
        if kind is None:
            assert (ins, outs) == CORE[entry["type"]]
            continue
        asked = kind.INPUT_TYPES()["required"]
        assert [part["name"] for part in entry["inputs"]] == [
            n for n, (t, _) in asked.items() if str(t) in joined
        ]
        assert ins == [t for t, _ in asked.values() if str(t) in joined]
        assert outs == list(kind.RETURN_TYPES)
        widgets = [how for t, how in asked.values() if str(t) not in joined]
        after = sum(how.get("control_after_generate", False) for how in widgets)
        assert len(entry["widgets_values"]) == len(widgets) + after
    for number, source, slot, target, place, kind in graph["links"]:
        assert nodes[source]["outputs"][slot]["type"] == kind == nodes[target]["inputs"][place]["type"]
        assert number in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][place]["link"] == number
    assert {"VideoJAMLoadJoint", "VideoJAMInnerGuidance", "VideoJAMSaveFlow"} <= {
        n["type"] for n in nodes.values()
    }


def test_there_are_two_workflows_and_one_has_the_base_beside_it():
    names = {file.name: file.read_text() for file in (FOLDER / "example_workflows").glob("*.json")}
    assert names.keys() == {"videojam_text_to_video.json", "videojam_beside_base.json"}
    assert '"UNETLoader"' in names["videojam_beside_base.json"]
