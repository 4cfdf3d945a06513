"""The five kinds of scene: each draws its parameters and returns parts with analytic poses.

Lengths are in pixels of a 64×64 clip and scale with the shorter side; angles turn from +x towards +y, so a
growing angle is clockwise on the screen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from videojam.world.caption import DIRECTIONS, SIDES, SPEEDS, SPINS, CaptionFacts
from videojam.world.config import Kind, WorldConfig
from videojam.world.palette import colour_rgb, sample_colours
from videojam.world.scene import (
    GREY_FLOOR,
    GREY_HUB,
    GREY_LINK,
    GREY_PILLAR,
    Part,
    Poses,
    Scene,
    grey,
    heading,
)

Rng = np.random.Generator
REFERENCE_SIDE_PX, REFERENCE_FRAMES = 64.0, 25
FLOOR_HEIGHT_PX = 6.0


def _scale(config: WorldConfig) -> float:
    return min(config.height, config.width) / REFERENCE_SIDE_PX


def _pace(config: WorldConfig) -> float:
    """Longer clips move more slowly, so that the same way is covered."""
    return (REFERENCE_FRAMES - 1) / (config.num_frames - 1)


def _speed(rng: Rng, slow: tuple[float, float], quick: tuple[float, float]) -> tuple[str, float]:
    word = SPEEDS[int(rng.integers(2))]
    return word, float(rng.uniform(*(slow if word == "slowly" else quick)))


def _times(config: WorldConfig) -> Poses:
    return np.arange(config.num_frames, dtype=np.float64)


def _middle(config: WorldConfig) -> Poses:
    return np.array([(config.width - 1) / 2, (config.height - 1) / 2])


def _still(point: Poses, t: Poses) -> Poses:
    return np.broadcast_to(point, (len(t), 2))


def _polar(length: float, angle: Poses) -> Poses:
    return length * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _drift(config: WorldConfig, word: str, speed: float, jitter: Poses) -> Poses:
    """A straight path, at the clip's middle plus `jitter` halfway; speed in px/frame of a 25-frame clip."""
    t = _times(config)
    speed *= _pace(config)
    return _middle(config) + jitter + (t - t[-1] / 2)[:, None] * speed * heading(word)


def gait(rng: Rng, config: WorldConfig) -> Scene:
    """A body on two legs that swing in antiphase about their hips while the body drifts."""
    s, t = _scale(config), _times(config)
    colours = sample_colours(rng, 3)
    word, speed = _speed(rng, (0.35, 0.5), (0.65, 0.8))
    period = rng.uniform(17, 20) if word == "slowly" else rng.uniform(14, 17)
    side = SIDES[int(rng.integers(2))]
    jitter = s * np.array([rng.uniform(-1, 1), rng.uniform(-12, -8)])
    body = _drift(config, side, s * speed, jitter)
    amplitude, length = rng.uniform(0.40, 0.5), s * rng.uniform(17.5, 19.5)
    swing = amplitude * np.sin(2 * np.pi * t / period + rng.uniform(0, 2 * np.pi))
    hip_x, hip_y, radius = s * 10.0, s * 3.0, s * rng.uniform(3.0, 3.6)
    legs = []
    for sign, name in ((-1, colours[1]), (1, colours[2])):
        angle = np.pi / 2 + sign * swing
        hip = body + np.array([sign * hip_x, hip_y])
        legs.append(Part(hip + _polar(length / 2, angle), angle, length / 2, radius, colour_rgb(name)))
    torso = Part(body, np.zeros_like(t), s * 14.0, s * rng.uniform(5.0, 6.0), colour_rgb(colours[0]), "box")
    order = rng.permutation(2)
    parts = (legs[order[0]], legs[order[1]], torso)
    return Scene(parts, CaptionFacts("gait", colours, {"side": side, "speed": word}))


def chain(rng: Rng, config: WorldConfig) -> Scene:
    """Three joints on two links: both links turn at one rate and bend against each other harmonically."""
    s, t = _scale(config), _times(config)
    colours = sample_colours(rng, 3)
    word, rate = _speed(rng, (0.07, 0.1), (0.12, 0.15))
    spin, direction = SPINS[int(rng.integers(2))], DIRECTIONS[int(rng.integers(4))]
    sign = 1.0 if spin == "clockwise" else -1.0
    centre = _drift(config, direction, s * rng.uniform(0.4, 0.75), s * rng.uniform(-1.5, 1.5, 2))
    bend = rng.uniform(0.2, 0.32) * np.sin(2 * np.pi * t / rng.uniform(15, 21) + rng.uniform(0, 2 * np.pi))
    turn = rng.uniform(0, 2 * np.pi) + sign * rate * t
    angles = (turn + bend, turn + np.pi + rng.uniform(-0.5, 0.5) - bend)
    lengths, radius = s * rng.uniform(14, 16, 2), s * rng.uniform(4.6, 5.4)
    links = [
        Part(centre + _polar(n / 2, a), a, n / 2, s * 2.0, grey(GREY_LINK))
        for n, a in zip(lengths, angles, strict=True)
    ]
    ends = [centre + _polar(n, a) for n, a in zip(lengths, angles, strict=True)]
    joints = [
        Part(point, angle, 0.0, radius, colour_rgb(name))
        for point, angle, name in zip(
            (ends[0], centre, ends[1]), (angles[0], turn, angles[1]), colours, strict=True
        )
    ]
    words = {"spin": spin, "dir": direction, "speed": word}
    return Scene((*links, *joints), CaptionFacts("chain", colours, words))


def ball(rng: Rng, config: WorldConfig) -> Scene:
    """A ball under gravity between an elastic floor and walls; it passes behind a dark pillar."""
    s, t = _scale(config), _times(config)
    colours = sample_colours(rng, 1)
    word, speed = _speed(rng, (1.6, 1.85), (2.1, 2.6))
    speed *= _pace(config) * config.width / REFERENCE_SIDE_PX
    side = SIDES[int(rng.integers(2))]
    radius = s * rng.uniform(6.0, 7.0)
    pillar_half = radius + s * rng.uniform(2.5, 4.0)
    pillar_x = (config.width - 1) / 2 + s * rng.uniform(-3, 3)
    low, high = radius - 0.5, config.width - 0.5 - radius  # the walls are the clip's borders
    start = rng.uniform(low, min(low + s * 4, pillar_x - pillar_half - radius + s * 3))
    x = start + speed * t
    x = high - np.abs(high - x)  # one reflection is all that these speeds reach
    if side == "left":
        x, pillar_x = config.width - 1 - x, config.width - 1 - pillar_x
    gravity, apex = s * rng.uniform(0.2, 0.28), s * rng.uniform(20, 32)
    launch = np.sqrt(2 * gravity * apex)
    flight = 2 * launch / gravity
    since = (t + rng.uniform(0, flight)) % flight
    floor = config.height - 0.5 - s * FLOOR_HEIGHT_PX
    y = floor - radius - (launch * since - gravity * since**2 / 2)
    still = np.zeros_like(t)
    pillar = Part(
        _still(np.array([pillar_x, (floor - 0.5) / 2]), t), still, pillar_half, (floor + 0.5) / 2,
        grey(GREY_PILLAR), "box", moves=False,
    )  # fmt: skip
    ground = Part(
        _still(np.array([(config.width - 1) / 2, floor + s * FLOOR_HEIGHT_PX / 2]), t), still,
        config.width / 2, s * FLOOR_HEIGHT_PX / 2, grey(GREY_FLOOR), "box", moves=False,
    )  # fmt: skip
    disc = Part(np.stack([x, y], -1), still, 0.0, radius, colour_rgb(colours[0]))
    return Scene((ground, disc, pillar), CaptionFacts("ball", colours, {"side": side, "speed": word}))


def wheel(rng: Rng, config: WorldConfig) -> Scene:
    """Three spokes, 120° apart and named clockwise, turn about a fixed hub at a constant rate."""
    s, t = _scale(config), _times(config)
    colours = sample_colours(rng, 3)
    word, rate = _speed(rng, (0.08, 0.12), (0.15, 0.19))
    spin = SPINS[int(rng.integers(2))]
    sign = 1.0 if spin == "clockwise" else -1.0
    hub = _middle(config) + s * rng.uniform(-5, 5, 2)
    inner, outer, radius = s * 5.0, s * rng.uniform(17.5, 20.0), s * rng.uniform(3.2, 4.0)
    turn = rng.uniform(0, 2 * np.pi) + sign * rate * t
    spokes = [
        Part(
            hub + _polar((inner + outer) / 2, turn + i * 2 * np.pi / 3), turn + i * 2 * np.pi / 3,
            (outer - inner) / 2, radius, colour_rgb(name),
        )
        for i, name in enumerate(colours)
    ]  # fmt: skip
    cap = Part(_still(hub, t), turn, 0.0, s * 4.0, grey(GREY_HUB))
    return Scene((*spokes, cap), CaptionFacts("wheel", colours, {"spin": spin, "speed": word}))


def collision(rng: Rng, config: WorldConfig) -> Scene:
    """Two discs, masses by area, meet once and bounce apart elastically."""
    s, t = _scale(config), _times(config)
    colours = sample_colours(rng, 2)
    stretch = s * _pace(config)
    while True:
        direction = DIRECTIONS[int(rng.integers(4))]
        word, first_speed = _speed(rng, (0.5, 0.8), (0.95, 1.35))
        ratio = rng.uniform(0.75, 1.3)
        radii = s * rng.uniform(6.5, 8.5, 2)
        contact_time = t[-1] * rng.uniform(0.38, 0.62)
        axis = float(np.arctan2(*heading(direction)[::-1]))
        first = stretch * first_speed * _polar(1.0, np.array(axis + rng.uniform(-0.25, 0.25)))
        second = -stretch * first_speed * ratio * _polar(1.0, np.array(axis + rng.uniform(-0.25, 0.25)))
        normal = _polar(1.0, np.array(axis + rng.uniform(-0.35, 0.35)))
        paths = _two_body_paths(t - contact_time, radii, first, second, normal)
        touch = _middle(config) + s * rng.uniform(-4, 4, 2)
        centres = [touch + path for path in paths]
        size = np.array([config.width, config.height])
        margins = [np.minimum(c + 0.5, size - 0.5 - c).min() - r for c, r in zip(centres, radii, strict=True)]
        if min(margins) >= 0:
            break
    discs = tuple(
        Part(c, np.zeros_like(t), 0.0, float(r), colour_rgb(name))
        for c, r, name in zip(centres, radii, colours, strict=True)
    )
    back = {"left": "right", "right": "left", "up": "down", "down": "up"}[direction]
    return Scene(discs, CaptionFacts("collision", colours, {"dir": direction, "back": back, "speed": word}))


def _two_body_paths(
    since: Poses, radii: Poses, first: Poses, second: Poses, normal: Poses
) -> tuple[Poses, Poses]:
    """Centres of two discs around an elastic contact at `since` = 0, relative to the point of contact."""
    masses = radii**2
    exchange = 2 * ((first - second) @ normal) / masses.sum()
    first_after = first - exchange * masses[1] * normal
    second_after = second + exchange * masses[0] * normal
    before = (since < 0)[:, None]
    one = -radii[0] * normal + since[:, None] * np.where(before, first, first_after)
    two = radii[1] * normal + since[:, None] * np.where(before, second, second_after)
    return one, two


SCENES: dict[Kind, Callable[[Rng, WorldConfig], Scene]] = {
    "gait": gait,
    "chain": chain,
    "ball": ball,
    "wheel": wheel,
    "collision": collision,
}
