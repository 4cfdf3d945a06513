"""What converting must know of a transformer class: its two projections, and how their rows and columns lie."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from videojam.errors import VideoJamError
from videojam.families.stock import Config, Pipeline, Transformer
from videojam.motion.choices import Noise

_Self = TypeVar("_Self", bound="Projections")
Layout = Literal["c_inner", "c_outer"]


@dataclass(frozen=True)
class Projections:
    """The layers that read the latents and write the prediction, and their widths.

    Attributes:
        transformer_class: Name of the diffusers class, by which the family is registered.
        input_projection: Dotted name of the layer that reads the latents.
        output_projection: Dotted name of the layer that writes the prediction.
        output_layout: Order of the output rows: `c_inner` = (pt, ph, pw, c), `c_outer` = (c, pt, ph, pw).
        checkpoints: Published models of the class, for people.
        prediction: What the network predicts, for people.
        input_layout: Order of the input columns, where the projection is linear; a convolution is `c_outer`.
        in_key: Config key of the channels in.
        out_key: Config key of the channels out.
        doubled_blocks: Blocks of C input channels, from the first on, that get C motion channels behind them.
        is_tied: Whether the class takes its channels out for as many as those in.
        has_level: Whether the joint input has one more channel, right behind d: d's own noise level.
        channel_dim: Axis of the channels in the network's hidden states; latents elsewhere are `[B, C, ...]`.
        frozen: Parts of the names of parameters that stay as they are in training, since no loss reaches them.
        original_names: Regular expressions and what takes their place, applied in this order, which make the name
            that the original code gives to a parameter of the diffusers name; empty where they are not known.
    """

    transformer_class: str
    input_projection: str
    output_projection: str
    output_layout: Layout
    checkpoints: str = ""
    prediction: str = "flow, ε − x"
    input_layout: Layout = "c_outer"
    in_key: str = "in_channels"
    out_key: str = "out_channels"
    doubled_blocks: int = 1
    channel_dim: int = 1
    frozen: tuple[str, ...] = ()
    original_names: tuple[tuple[str, str], ...] = ()
    is_tied: bool = False
    has_level: bool = False

    @property
    def input_weight(self) -> str:
        """Name of the one parameter of the input projection that is widened; its bias keeps its shape."""
        return f"{self.input_projection}.weight"

    @property
    def output_parameters(self) -> tuple[str, str]:
        """Names of the parameters of the output projection, weight and bias, which are both widened."""
        return f"{self.output_projection}.weight", f"{self.output_projection}.bias"

    def projection_names(self, names: Iterable[str]) -> list[str]:
        """Return which of a transformer's parameter names change their shape when it is converted."""
        changing = {self.input_weight, *self.output_parameters}
        return [name for name in names if name in changing]

    def is_of_projection(self, name: str) -> bool:
        """Whether a parameter belongs to one of the two projections, widened or not."""
        return name.startswith((f"{self.input_projection}.", f"{self.output_projection}."))

    def is_frozen(self, name: str) -> bool:
        """Whether a parameter or layer is not trained."""
        return any(part in name for part in self.frozen)

    def joint_shape(self, name: str, shape: list[int], base: Config) -> list[int]:
        """Return the shape of a base parameter after converting, given the base's config."""
        joint = self.joint_config(base)
        return self._scaled(name, shape, base, joint)

    def base_shape(self, name: str, shape: list[int], joint: Config) -> list[int]:
        """Return the shape of a joint parameter before converting, given the joint config."""
        base = self.base_config(joint)
        return self._scaled(name, shape, joint, base)

    def _scaled(self, name: str, shape: list[int], old: Config, new: Config) -> list[int]:
        first, *others = shape
        if name == self.input_weight:
            return [first, others[0] * self.num_inputs(new) // self.num_inputs(old), *others[1:]]
        if name in self.output_parameters:
            return [first * self.num_outputs(new) // self.num_outputs(old), *others]
        return shape

    def transformers(self, pipe: Pipeline) -> dict[str, Transformer]:
        """Return the pipeline's transformers by component name (two for mixtures of experts)."""
        return {
            name: module
            for name, module in pipe.components.items()
            if any(c.__name__ == self.transformer_class for c in type(module).__mro__)
        }

    def first_transformer(self, pipe: Pipeline) -> Transformer:
        """Return the pipeline's transformer; of two experts, which are alike, the first."""
        return next(iter(self.transformers(pipe).values()))

    def latent_channels(self, config: Config) -> int:
        """Return C, the channels of the appearance latent, of a base transformer's config."""
        return int(config.get(self.out_key) or config[self.in_key])

    def joint_config(self, config: Config) -> dict[str, Any]:
        """Return the config of the joint transformer: C channels more, in and out, and one more in for d's level.

        Raises:
            VideoJamError: the class ties its channels in and out, so that it can't read d's level.
        """
        self._require_untied(config)
        num_channels = self.latent_channels(config)
        num_in = config[self.in_key] + self.doubled_blocks * num_channels + self.has_level
        return {**config, self.in_key: num_in, self.out_key: 2 * num_channels}

    def _require_untied(self, config: Config) -> None:
        if self.has_level and self.ties_channels(config):
            raise VideoJamError(
                expected="a transformer that can read one channel more than it predicts, for motion.noise: own",
                found=f"{self.transformer_class}, which ties its channels in and out",
                where="motion.noise",
                fix="Use motion.noise: same, or a base of another class.",
            )

    def base_config(self, config: Config) -> dict[str, Any]:
        """Invert `joint_config`."""
        num_channels = self.latent_channels(config) // 2
        num_in = config[self.in_key] - self.doubled_blocks * num_channels - self.has_level
        return {**config, self.in_key: num_in, self.out_key: num_channels}

    def at_noise(self: _Self, noise: Noise) -> _Self:
        """Return the family of joint models whose motion has this noise level: that of x, or its own."""
        return replace(self, has_level=noise == "own")

    def ties_channels(self, config: Config) -> bool:
        """Whether the class can't read one channel more without predicting more, or its config can't state it."""
        return self.is_tied

    def vae_channels(self, config: Config) -> int | None:
        """Return the latent channels that an autoencoder's config states, if it does."""
        return config.get("z_dim") or config.get("latent_channels")

    def is_joint(self, config: Config, vae_config: Config) -> bool:
        """Whether a transformer is a joint one: it predicts twice the channels of the pipeline's autoencoder."""
        num_channels = self.vae_channels(vae_config)
        return num_channels is not None and self.latent_channels(config) == 2 * num_channels

    def original_config(self, config: Config) -> dict[str, Any]:
        """Return a transformer's config in the keys of the original code; empty where they are not known."""
        return {}

    def num_doubled(self, config: Config) -> int:
        """Return how many blocks of C input channels get motion channels behind them."""
        return self.doubled_blocks

    def num_inputs(self, config: Config) -> int:
        """Return the channels that the input projection reads."""
        return int(config[self.in_key])

    def num_outputs(self, config: Config) -> int:
        """Return the channels that the output projection writes."""
        return self.latent_channels(config)

    def num_positions(self, config: Config) -> int:
        """Return P, the latent positions that one token covers."""
        patch = config.get("patch_size", 1)
        if isinstance(patch, (list, tuple)):
            return math.prod(patch)
        return int(patch) ** 2 * int(config.get("patch_size_t") or 1)
