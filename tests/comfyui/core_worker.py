"""Samples a joint model by the core of a ComfyUI at COMFYUI_PATH; prints what it found as one line of JSON.

Arguments: the pack's folder, a single file, what the test gives and expects, and the settings of each sample.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ["COMFYUI_PATH"])
folder, file, given, asked = sys.argv[1:]
sys.argv = ["main.py", "--cpu", "--preview-method", "latent2rgb"]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.samplers  # noqa: E402
import latent_preview  # noqa: E402
import nodes as core_nodes  # noqa: E402
import torch  # noqa: E402
from comfy_extras import (  # noqa: E402
    nodes_custom_sampler,
    nodes_hunyuan,
    nodes_images,
    nodes_model_advanced,
)
from safetensors.torch import load_file  # noqa: E402

spec = importlib.util.spec_from_file_location(
    "pack", Path(folder) / "__init__.py", submodule_search_locations=[folder]
)
pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
loading = importlib.import_module("pack.loading")

tensors = load_file(given)
model = loading.load_joint(file)
previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
preview = previewer.decode_latent_to_preview(torch.zeros_like(tensors["noise"]))

positive, negative = ([[row, {}]] for row in tensors["text"].split(1))
differences = []
for i, settings in enumerate(json.loads(asked)):
    (guider,) = pack.NODE_CLASS_MAPPINGS["VideoJAMInnerGuidance"]().guide(
        model, positive, negative, **settings
    )
    noise = tensors["noise"]
    found = guider.sample(
        noise,
        torch.zeros_like(noise),
        comfy.samplers.sampler_object("euler"),
        tensors["sigmas"],
        disable_pbar=True,
    )
    expected = model.model.latent_format.process_out(tensors[str(i)])
    differences.append(float(((found - expected) / expected.std() * tensors[str(i)].std()).abs().max()))

# --- the example workflows: every node is one of the core's or of the pack's, every link an input of it ---

known = dict(core_nodes.NODE_CLASS_MAPPINGS) | pack.NODE_CLASS_MAPPINGS
for module in (nodes_custom_sampler, nodes_hunyuan, nodes_images, nodes_model_advanced):
    for kind in vars(module).values():
        if hasattr(kind, "GET_SCHEMA") and kind.__module__ == module.__name__:
            known[kind.GET_SCHEMA().node_id] = kind
    known |= getattr(module, "NODE_CLASS_MAPPINGS", {})
unknown, wrong = set(), []
for path in (Path(folder) / "example_workflows").glob("*.json"):
    for entry in json.loads(path.read_text())["nodes"]:
        if entry["type"] == "MarkdownNote":  # the page's own
            continue
        if entry["type"] not in known:
            unknown.add(entry["type"])
            continue
        inputs = known[entry["type"]].INPUT_TYPES()
        inputs = {**inputs.get("required", {}), **inputs.get("optional", {})}
        types = {part["name"]: part["type"] for part in entry["inputs"]}
        wrong += [(entry["type"], name) for name, kind in types.items() if inputs.get(name, ("",))[0] != kind]

print(
    json.dumps(
        {
            "num_channels": model.get_model_object("latent_format").latent_channels,
            "is_preview_rgb": preview is not None,
            "differences": differences,
            "unknown_nodes": sorted(unknown),
            "wrong_links": wrong,
        }
    )
)
