"""What is asked of diffusers' objects. Their stock classes have it all; nothing of ours has to.

Beside what is named here, each class has attributes of its own that only its family's file reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

Config = Mapping[str, Any]
"""A component's config: names and plain values, as `config.json` has them."""


@runtime_checkable
class Part(Protocol):
    """A component of a pipeline, with its config."""

    if TYPE_CHECKING:
        config: Any

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: object) -> None: ...


@runtime_checkable
class Transformer(Part, Protocol):
    """A denoiser, base or joint: called with `hidden_states`, a timestep, and conditions by keyword."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Predict."""


@runtime_checkable
class Autoencoder(Part, Protocol):
    """A video autoencoder: `encode` gives a posterior, `decode` a video."""


@runtime_checkable
class Scheduler(Part, Protocol):
    """A scheduler: `timesteps`, `sigmas`, `set_timesteps` and `step`."""


def is_of_flow(scheduler: Scheduler) -> bool:
    """Whether a scheduler is that of a flow model."""
    return scheduler.config.get("prediction_type", "flow") in ("flow", "flow_prediction")


@runtime_checkable
class Pipeline(Part, Protocol):
    """A text- or image-to-video pipeline: its components by name, and the stock call."""

    if TYPE_CHECKING:

        @property
        def components(self) -> dict[str, Any]:
            """Transformers, autoencoder, text encoders, tokenizers and scheduler by name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Sample."""
