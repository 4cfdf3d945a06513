"""The nodes: what each asks for and gives; what they do is in the modules beside this one and in `videojam`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.guidance.config import Guidance
from videojam.guidance.window import parse_window
from videojam.joint.latents import split
from videojam.models.record import MotionRecord

from .guiding import NEGATIVE, POSITIVE, SeededNoise, guider_class
from .latents import JointFormat
from .loading import load_joint, read_joint_record

CATEGORY = "VideoJAM"
MOTION, FLOW = "VIDEOJAM_MOTION", "VIDEOJAM_FLOW"
"""Types of what joins the nodes: a model's motion record, and flow `[T-1, 2, H, W]` in px/frame."""
TYPES = {"default": None, "fp8_e4m3fn": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}
MAX_SIZE, MAX_SEED = 16384, 2**63 - 1


class LoadJoint:
    """A joint Wan from one file with its motion record in the header."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES, RETURN_NAMES = ("MODEL", MOTION), ("model", "motion")
    DESCRIPTION = "Loads a joint model that `videojam export MODEL --single-file --out DIR` wrote."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        import folder_paths

        files = folder_paths.get_filename_list("diffusion_models")
        return {
            "required": {"model_name": (files, {}), "weight_dtype": (list(TYPES), {"default": "default"})}
        }

    def load(self, model_name: str, weight_dtype: str = "default") -> tuple[Any, MotionRecord]:
        import folder_paths

        path = folder_paths.get_full_path_or_raise("diffusion_models", model_name)
        dtype = TYPES[weight_dtype]
        return load_joint(path, {} if dtype is None else {"dtype": dtype}), read_joint_record(path)


class EmptyJointLatent:
    """A latent of 2C channels to sample into."""

    CATEGORY, FUNCTION = CATEGORY, "make"
    RETURN_TYPES, RETURN_NAMES = ("LATENT",), ("latent",)
    DESCRIPTION = "An empty latent of a joint model's channels: appearance and motion."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        size = {"min": 16, "max": MAX_SIZE, "step": 16}
        return {
            "required": {
                "model": ("MODEL", {}),
                "width": ("INT", {"default": 832, **size}),
                "height": ("INT", {"default": 480, **size}),
                "length": (
                    "INT",
                    {"default": 81, "min": 1, "max": MAX_SIZE, "step": 4, "tooltip": "Frames: 4k + 1."},
                ),
                "batch_size": ("INT", {"default": 1, "min": 1, "max": 64}),
            }
        }

    def make(
        self, model: Any, width: int, height: int, length: int, batch_size: int
    ) -> tuple[dict[str, Tensor]]:
        form = format_of(model)
        spatial, temporal = form.spacial_downscale_ratio, form.temporal_downscale_ratio
        sizes = (length - 1) // temporal + 1, height // spatial, width // spatial
        return ({"samples": torch.zeros(batch_size, form.latent_channels, *sizes)},)


class InnerGuidance:
    """The guider of Eq. 8."""

    CATEGORY, FUNCTION = CATEGORY, "guide"
    RETURN_TYPES, RETURN_NAMES = ("GUIDER",), ("guider",)
    DESCRIPTION = (
        "Inner-Guidance (VideoJAM, Eq. 8): by the text (w1; a CFG of 6 is w1 = 5) and by the model's own motion (w2). "
        "Three forwards a step in the window, two outside of it. Connect it to SamplerCustomAdvanced."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        weight = {"min": 0.0, "max": 100.0, "step": 0.1}
        window = (
            "When motion guides: half or all of the steps, or t:0-0.4 (0 is noise), steps:0-20, share:0-0.5."
        )
        reuse = "Compute what guidance adds on every n-th step only; 2 with window all costs as much as CFG."
        return {
            "required": {
                "model": ("MODEL", {}),
                POSITIVE: ("CONDITIONING", {}),
                NEGATIVE: ("CONDITIONING", {}),
                "w_text": (
                    "FLOAT",
                    {"default": 5.0, "tooltip": "w1: guidance by the text is 1 + w1.", **weight},
                ),
                "w_motion": ("FLOAT", {"default": 3.0, "tooltip": "w2: guidance by the motion.", **weight}),
                "window": ("STRING", {"default": "half", "tooltip": window}),
                "motion_on": (["both", "appearance"], {"default": "both", "tooltip": "What w2 acts on."}),
                "reuse_every": ("INT", {"default": 1, "min": 1, "max": 100, "tooltip": reuse}),
            }
        }

    def guide(
        self,
        model: Any,
        positive: Any,
        negative: Any,
        w_text: float,
        w_motion: float,
        window: str,
        motion_on: str,
        reuse_every: int,
    ) -> tuple[Any]:
        guidance = {
            "w_text": w_text,
            "w_motion": w_motion,
            "motion_on": motion_on,
            "reuse_every": reuse_every,
        }
        guider = guider_class()(model)
        guider.set_conds(positive, negative)
        config = Guidance.model_validate({**guidance, "window": parse_window(window.strip())})
        guider.set_guidance(config, format_of(model).latent_channels // 2)
        return (guider,)


class JointNoise:
    """Noise that is that of the command line for the same seed."""

    CATEGORY, FUNCTION = CATEGORY, "make"
    RETURN_TYPES, RETURN_NAMES = ("NOISE",), ("noise",)
    DESCRIPTION = (
        "The noise that `videojam generate --seed N` draws; its appearance half is that of the base."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        seed = {"default": 0, "min": 0, "max": MAX_SEED, "control_after_generate": True}
        return {"required": {"noise_seed": ("INT", seed)}}

    def make(self, noise_seed: int) -> tuple[SeededNoise]:
        return (SeededNoise(noise_seed),)


class SplitJointLatent:
    """A sampled latent's two halves, each for the base's own autoencoder."""

    CATEGORY, FUNCTION = CATEGORY, "halve"
    RETURN_TYPES, RETURN_NAMES = ("LATENT", "LATENT"), ("video", "motion")
    DESCRIPTION = "Splits a sampled joint latent: the video for VAE Decode, the motion for Decode Motion."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"latent": ("LATENT", {})}}

    def halve(self, latent: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        x, d = split(latent["samples"])
        return {**latent, "samples": x}, {**latent, "samples": d}


class DecodeMotion:
    """The predicted motion as a video, as arrows over the clip, and as flow."""

    CATEGORY, FUNCTION = CATEGORY, "decode"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE", "IMAGE", FLOW), ("picture", "arrows", "flow")
    DESCRIPTION = (
        "Decodes the motion half: hue is the direction, strength the speed; and arrows over the frames."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "motion_latent": ("LATENT", {}),
                "vae": ("VAE", {}),
                "motion": (MOTION, {}),
                "frames": ("IMAGE", {"tooltip": "The decoded video, for the arrows."}),
            }
        }

    def decode(
        self, motion_latent: dict[str, Any], vae: Any, motion: MotionRecord, frames: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        from .pictures import arrows_over, decoded_clips

        clips = decoded_clips(vae, motion_latent["samples"])
        flows = [motion.motion.read(clip) for clip in clips]
        picture = torch.cat(clips).movedim(1, -1)
        return picture, arrows_over(frames, flows, motion.motion), flows


class SaveFlow:
    """Flow to files, as `videojam generate` writes them."""

    CATEGORY, FUNCTION, OUTPUT_NODE = CATEGORY, "save", True
    RETURN_TYPES: tuple[str, ...] = ()
    DESCRIPTION = (
        "Writes NAME_00001_.flow.safetensors: (u, v) in px/frame, float32 [T-1, 2, H, W], key `flow`."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"flow": (FLOW, {}), "filename_prefix": ("STRING", {"default": "flow/VideoJAM"})}}

    def save(self, flow: list[Tensor], filename_prefix: str) -> dict[str, Any]:
        import folder_paths

        from videojam.files import write_tensors

        folder, stem, count, _, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        names = []
        for i, of_clip in enumerate(flow):
            path = Path(folder) / f"{stem}_{count + i:05}_.flow.safetensors"
            names.append(write_tensors(path, {"flow": of_clip.contiguous()}, {"unit": "px/frame"}).name)
        return {"ui": {"text": names}}


def format_of(model: Any) -> JointFormat:
    """Return the latent format of a joint model.

    Raises:
        VideoJamError: another loader loaded the model.
    """
    form = model.get_model_object("latent_format")
    if not isinstance(form, JointFormat):
        raise VideoJamError(
            expected="a joint model from the node Load VideoJAM Model",
            found="a model of another node",
            where="model",
            fix="Export yours (videojam export MODEL --single-file --out DIR) and load it with that node.",
        )
    return form


NODE_CLASS_MAPPINGS = {
    "VideoJAMLoadJoint": LoadJoint,
    "VideoJAMEmptyLatent": EmptyJointLatent,
    "VideoJAMNoise": JointNoise,
    "VideoJAMInnerGuidance": InnerGuidance,
    "VideoJAMSplitLatent": SplitJointLatent,
    "VideoJAMDecodeMotion": DecodeMotion,
    "VideoJAMSaveFlow": SaveFlow,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "VideoJAMLoadJoint": "Load VideoJAM Model",
    "VideoJAMEmptyLatent": "Empty VideoJAM Latent",
    "VideoJAMNoise": "VideoJAM Noise",
    "VideoJAMInnerGuidance": "Inner-Guidance (VideoJAM)",
    "VideoJAMSplitLatent": "Split VideoJAM Latent",
    "VideoJAMDecodeMotion": "Decode VideoJAM Motion",
    "VideoJAMSaveFlow": "Save Flow (VideoJAM)",
}
