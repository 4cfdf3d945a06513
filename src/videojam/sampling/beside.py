"""What a network denoises beside the latents (LTX-2: sound), carried along by the explicit loop of sampling."""

from __future__ import annotations

import copy

from torch import Tensor

from videojam.families import Conditioning, Family
from videojam.families.denoising import Generators
from videojam.families.stock import Scheduler, Transformer


class Beside:
    """The latents beside x and d; of most networks there are none.

    They are guided by text only, with the scale s that the stock pipeline is given: ã = a∅ + s·(a − a∅).

    Args:
        family: Of the network.
        noise: Where they start, by name.
        scheduler: Of x, its timesteps set; theirs are copies.
        generators: For schedulers that draw more noise.
        scale: s.
    """

    def __init__(
        self, family: Family, noise: Conditioning, scheduler: Scheduler, generators: Generators, scale: float
    ) -> None:
        self.family, self.latents, self.scale = family, noise, scale
        self._steps = {name: family.stepper(copy.deepcopy(scheduler), generators) for name in noise}
        self._seen: dict[int, Conditioning] = {}
        self._added: Conditioning = {}

    def denoise(self, transformer: Transformer, latents: Tensor, sigma: Tensor, cond: Conditioning) -> Tensor:
        """Call the network; return its prediction for the latents, and keep that for those beside them."""
        seen = {**cond, **self.latents} if self.latents else cond
        u, also = self.family.denoise_beside(transformer, latents, sigma, seen)
        # the first is kept: the rule's own branch, of other latents, comes after both texts
        self._seen.setdefault(id(cond), also)
        return u

    def step(self, text: Conditioning, null_text: Conditioning, timestep: Tensor) -> None:
        """Take a step of the scheduler; where the null text was not asked, add what it added last."""
        for name, latents in self.latents.items():
            a = self._seen[id(text)][name].float()
            if id(null_text) in self._seen:
                self._added[name] = (self.scale - 1) * (a - self._seen[id(null_text)][name].float())
            a = a + self._added[name] if name in self._added else a
            self.latents[name] = self._steps[name](a, timestep, latents)
        self._seen.clear()
