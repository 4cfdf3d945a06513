"""The world of the tiny pipelines, as recipes/tiny/*.yaml state it too."""

from videojam.world import WorldConfig

# No grain: a latent with a fortieth of the pixels' numbers can't hold it.
TINY_WORLD = WorldConfig(height=48, width=48, texture=0.0)
