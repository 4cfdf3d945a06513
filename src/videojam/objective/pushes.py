"""How far guidance by a condition would go towards the data: the products of which w* is made.

    r = target − u,   g = u − u₀,   ‖r − w·g‖² is least at w* = Σ⟨r, g⟩ / Σ⟨g, g⟩

u is the prediction from text and motion, u₀ that without one of them, and u + w·g what guidance by it predicts (Eq. 8).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.families import Conditioning
from videojam.joint.batch import Batch
from videojam.joint.latents import null_motion, split
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import Draws

CONDITIONS = ("text", "motion")


def push_products(
    lack: Float[Tensor, " b *shape"], push: Float[Tensor, " b *shape"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Return ⟨r, g⟩ and ⟨g, g⟩ of each clip, as means over its values.

    Args:
        lack: r, target minus prediction.
        push: g, prediction minus the one without a condition.
    """
    return (lack * push).flatten(1).mean(dim=1), push.square().flatten(1).mean(dim=1)


@torch.no_grad()
def condition_products(
    denoiser: Denoiser, batch: Batch, draws: Draws, conditions: tuple[str, ...] = CONDITIONS
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return ⟨r, g⟩ and ⟨g, g⟩ of each clip for text, and for motion where the model is joint.

    Frames that are given (timestep 0) are outside both.

    Args:
        denoiser: What is asked, with its null text.
        batch: Clips.
        draws: Their noise, at one time each; no text or motion is dropped.
        conditions: Which of them; motion only counts of a joint model.
    """
    family, sigma = denoiser.family, draws.sigma
    given = family.num_given_frames(batch.text)
    latents = denoiser.noised(batch, draws)

    def appearance(latents: Tensor, text: Conditioning) -> Tensor:
        prediction = family.denoise(denoiser.transformer, latents, sigma, text).float()
        return (split(prediction)[0] if denoiser.is_joint else prediction)[:, :, given:]

    u = appearance(latents, batch.text)
    lack = family.target(batch.x, draws.eps_x, sigma)[:, :, given:].float() - u
    pushes = {}
    if "text" in conditions:
        null = denoiser.replace_text(batch.text, torch.ones_like(draws.drop_text))
        pushes["text"] = u - appearance(latents, null)
    if "motion" in conditions and denoiser.is_joint:
        blind = null_motion(latents, has_level=family.has_level)
        pushes["motion"] = u - appearance(blind, batch.text)
    return {name: push_products(lack, push) for name, push in pushes.items()}
