"""Captions from a small grammar: colour and speed are said; where the mover starts and its direction are not."""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videojam.world.config import SPEED_WORDS, Kind, WorldConfig

TINTS = ("cool", "warm")
WORDS: dict[Kind, str] = {
    "bounce": "square moves",
    "pillar": "square hides",
    "exchange": "pair meets",
    "walker": "walker walks",
    "rotor": "rotor turns",
}
"""What moves and what it does."""
NUM_WORDS = 4


def captions(config: WorldConfig) -> list[str]:
    """Return every caption of a world, in the order of `caption_index`."""
    return [
        f"{TINTS[warm]} {WORDS[kind]} {SPEED_WORDS[speed]}"
        for kind, speed, warm in product(config.kinds, range(len(config.speeds)), range(2))
    ]


def caption_index(
    config: WorldConfig, kind: Int[Tensor, " b"], speed: Int[Tensor, " b"], warm: Int[Tensor, " b"]
) -> Int[Tensor, " b"]:
    """Return the row of `captions` that describes a clip."""
    return (kind * len(config.speeds) + speed) * 2 + warm


def text_table(config: WorldConfig, text_dim: int) -> Float[Tensor, "captions_and_null words {text_dim}"]:
    """Return fixed embeddings of every caption's words, and of the null text (zeros) as the last row.

    Words are orthogonal unit vectors times √text_dim, in the order in which they appear.

    Args:
        config: World.
        text_dim: Width, at least the number of words.
    """
    texts = [text.split() for text in captions(config)]
    words = sorted({word for text in texts for word in text})
    if len(words) > text_dim:
        raise ValueError(f"expected a text_dim of at least {len(words)}, one a word, found {text_dim}")
    vectors = torch.eye(text_dim) * text_dim**0.5
    rows = [torch.stack([vectors[words.index(word)] for word in text]) for text in texts]
    return torch.stack([*rows, torch.zeros(NUM_WORDS, text_dim)])
