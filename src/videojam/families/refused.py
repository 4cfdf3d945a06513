"""Video classes of diffusers that are not converted, and what is missing in each."""

from __future__ import annotations

REFUSED: dict[str, str] = {
    "HeliosTransformer3DModel": "past frames enter by three more projections (patch_short, patch_mid, patch_long), "
    "and what motion they carry is not defined",
    "HunyuanVideoFramepackTransformer3DModel": "past frames enter by three more projections (clean_x_embedder), and "
    "what motion they carry is not defined",
    "AnyFlowFARTransformer3DModel": "past chunks enter by one more projection (far_patch_embedding), and what motion "
    "they carry is not defined; AnyFlowTransformer3DModel, without chunks, is converted",
    "WanAnimateTransformer3DModel": "motion is its input: a pose enters by one more projection, and its config ties "
    "the channels in to twice those of the latent, so that one more block can't be stated",
    "WanAnimate2Transformer3DModel": "motion is its input: a driving clip goes through the same projection in a pass "
    "of its own, and what its motion half is there is not defined",
    "MiniMaxH3Transformer3DModel": "given frames, targets and audio are one sequence that its pipeline packs, and "
    "given frames go through the same projection: what motion they carry is not defined",
    "Cosmos3OmniTransformer": "text, frames, actions and sound are one sequence that its pipeline packs by indices, "
    "one config key decides the channels in, out and per patch, and given frames go through the same projection",
    "Kandinsky6SRTransformer3DModel": "it enlarges a clip that is given, so that the motion is that clip's",
    "SanaWMTransformer3DModel": "motion is its input: a camera path enters by one more projection (raymap_embedder), "
    "and its config has no key for the channels out",
    "SanaWMLTX2RefinerTransformer3DModel": "it refines a clip that is given, so that the motion is that clip's",
    "JoyImageEditTransformer3DModel": "it edits images, which have no motion",
    "JoyImageEditPlusTransformer3DModel": "it edits images, which have no motion",
}
"""By class name: why not."""
