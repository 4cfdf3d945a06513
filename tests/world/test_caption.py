"""Captions are read back exactly, in a vocabulary small enough for a tiny text encoder."""

from __future__ import annotations

import pytest

from videojam.world import KINDS, parse_caption, sample_clip, vocabulary, write_caption
from videojam.world.clip import make_scene
from videojam.world.config import WorldConfig


@pytest.mark.parametrize("kind", KINDS)
def test_captions_are_read_back_and_stay_within_bounds(kind: str) -> None:
    words = set(vocabulary())
    assert len(words) <= 80
    for seed in range(30):
        scene, _ = make_scene(seed, WorldConfig(), kind)
        caption = write_caption(scene.facts)
        assert parse_caption(caption) == scene.facts
        assert parse_caption(f"  {caption.capitalize()}.\n") == scene.facts
        assert 12 <= len(caption.split()) <= 25
        assert caption == caption.lower()
        assert set(caption.replace(",", "").split()) <= words


def test_colour_order_is_part_of_the_meaning() -> None:
    first = parse_caption("a red disc moving left and a blue disc moving right meet slowly and bounce apart")
    assert first is not None
    assert first.kind == "collision"
    assert first.colours == ("red", "blue")
    assert first.words == {"dir": "left", "back": "right", "speed": "slowly"}


@pytest.mark.parametrize("text", ["", "a cat walks", "a mauve ball bounces slowly to the left"])
def test_other_sentences_are_outside_the_grammar(text: str) -> None:
    assert parse_caption(text) is None


def test_no_caption_says_a_orange() -> None:
    captions = [sample_clip(seed).caption for seed in range(60)]
    assert any("an orange" in caption for caption in captions)
    assert not any("a orange" in caption for caption in captions)
