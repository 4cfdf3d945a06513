"""Coherence laws of gait, chain, wheel and collision, checked on tracks; the ball has a module of its own.

Each law takes what was seen and returns measures and the reasons, in words, why the clip breaks the law.
Lengths are scaled to 64×64 before they meet a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from videojam.world.fits import Array, fit_harmonic, fit_kink, fit_line
from videojam.world.segment import Tracks

PERIODS = np.arange(10.0, 26.5, 0.5)
MAX_LINE_RMS_PX = 0.75
MIN_R2 = 0.97
HIP_X_PX, HIP_Y_PX = 10.0, 3.0


@dataclass
class Finding:
    """What a law found: measures by name, and reasons against coherence."""

    measures: dict[str, float] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def check(self, name: str, value: float | int, ok: bool, reason: str) -> None:
        """Record a measure, and the reason when it is not in order."""
        self.measures[name] = float(value)
        if not ok:
            self.reasons.append(reason)


def presence(seen: Tracks, names: tuple[str, ...], finding: Finding) -> bool:
    """Check that every part is there on every frame, in one piece, at a steady size and in its own hue."""
    for i, name in enumerate(names):
        missing = np.flatnonzero(~seen.seen[i])
        finding.measures[f"missing_frames_{i}"] = float(len(missing))
        if len(missing):
            frames = "1 frame" if len(missing) == 1 else f"{len(missing)} frames"
            finding.reasons.append(f"{name} is missing on {frames}, first on frame {missing[0]}")
    broken = (seen.piece_share < 0.7).sum(axis=1)
    for name, num in zip(names, broken, strict=True):
        if num > 2:
            finding.reasons.append(f"{name} is in pieces on {num} frames")
    finding.measures["broken_frames"] = float(broken.max())
    foreign = float(np.median(seen.foreign_px) / max(seen.usual_area_px.mean(), 1.0))
    finding.check("foreign_share", foreign, foreign < 0.3, "there is a part of a colour not in the caption")
    return bool(np.isfinite(seen.centre_px).all())


def gait(seen: Tracks, scale: float, names: tuple[str, ...]) -> Finding:
    """Legs swing in antiphase with one frequency about hips that drift at a constant velocity."""
    found = Finding()
    if not presence(seen, names, found):
        found.reasons += _same_leg(seen)
        return found
    centre = seen.centre_px / scale
    body, legs = centre[0], centre[1:]
    hips = body + np.array([[[-HIP_X_PX, HIP_Y_PX]], [[HIP_X_PX, HIP_Y_PX]]])
    arms = legs - hips
    angles = np.arctan2(arms[..., 0], np.maximum(arms[..., 1], 1.0))
    swing = float(angles.std(axis=1).min())
    found.check("swing_rad", swing, swing > 0.12, "a leg does not swing")
    phase = float(np.corrcoef(angles)[0, 1]) if swing > 1e-6 else 0.0
    reason = "the legs swing together (same leg twice)" if phase > 0 else "the legs are out of step"
    found.check("antiphase", phase, phase < -0.95, reason)
    law = fit_harmonic(angles, PERIODS)
    found.check("swing_r2", law.r2, law.r2 > MIN_R2, "the legs do not swing with one frequency")
    found.measures["period_frames"] = law.parameter
    drift = fit_line(body.T)
    ok = drift.rms < MAX_LINE_RMS_PX
    found.check("drift_rms_px", drift.rms, ok, "the body does not drift at a constant velocity")
    found.measures["velocity_x"] = float(drift.coefficients[1, 0] * scale)
    return found


def _same_leg(seen: Tracks) -> list[str]:
    shown = seen.seen[1:].mean(axis=1)
    return ["one leg only (same leg twice)"] if shown.max() > 0.8 and shown.min() < 0.3 else []


def chain(seen: Tracks, scale: float, names: tuple[str, ...]) -> Finding:
    """Links keep their length and turn at one rate with a harmonic bend, while the middle joint drifts."""
    found = Finding()
    if not presence(seen, names, found):
        return found
    _steady_areas(seen, names, found)
    first, middle, last = seen.centre_px / scale
    links = np.stack([first - middle, last - middle])
    lengths = np.hypot(links[..., 0], links[..., 1])
    change = float(((lengths.max(axis=1) - lengths.min(axis=1)) / 2 / lengths.mean(axis=1)).max())
    found.check("length_change", change, change < 0.10, "a link changes its length")
    angles = np.unwrap(np.arctan2(links[..., 1], links[..., 0]), axis=1)
    law = fit_harmonic(angles, PERIODS, turning=True)
    ok = law.r2 > MIN_R2 and law.rms < 0.2
    found.check("angle_r2", law.r2, ok, "the links do not turn at one rate with a harmonic bend")
    found.measures["angle_rms_rad"] = law.rms
    found.measures["turn_rate"] = float(np.mean(angles[:, -1] - angles[:, 0]) / (angles.shape[1] - 1))
    drift = fit_line(middle.T)
    ok = drift.rms < MAX_LINE_RMS_PX
    found.check("drift_rms_px", drift.rms, ok, "the chain does not drift at a constant velocity")
    found.measures["velocity_x"], found.measures["velocity_y"] = (drift.coefficients[1] * scale).tolist()
    return found


def wheel(seen: Tracks, scale: float, names: tuple[str, ...]) -> Finding:
    """Three spokes stay 120° apart at a fixed radius about a fixed hub and turn at a constant rate."""
    found = Finding()
    if not presence(seen, names, found):
        return found
    centre = seen.centre_px / scale
    hub = centre.mean(axis=0)
    shake = float(np.sqrt(hub.var(axis=0).sum()))
    found.check("hub_shake_px", shake, shake < 1.0, "the hub moves")
    arms = centre - hub
    radius = np.hypot(arms[..., 0], arms[..., 1])
    change = float(np.abs(radius / radius.mean(axis=1, keepdims=True) - 1).max())
    found.check("radius_change", change, change < 0.15, "a spoke changes its length")
    angles = np.unwrap(np.arctan2(arms[..., 1], arms[..., 0]), axis=1)
    gaps = np.diff(np.sort(angles % (2 * np.pi), axis=0), axis=0)
    spacing = float(np.degrees(np.abs(gaps - 2 * np.pi / 3).max()))
    found.check("spacing_error_deg", spacing, spacing < 20, "the spokes are not 120° apart")
    steps = np.diff(angles, axis=1).mean(axis=0)
    backward = int((steps * np.sign(np.median(steps)) < 0).sum())
    found.check("backward_steps", backward, backward == 0, "the wheel reverses")
    law = fit_line(angles)
    ok = law.r2 > MIN_R2 and law.rms < 0.15
    found.check("turn_r2", law.r2, ok, "the wheel does not turn at a constant rate")
    found.measures["turn_rms_rad"] = law.rms
    found.measures["turn_rate"] = float(law.coefficients[1].mean())
    return found


def collision(seen: Tracks, scale: float, names: tuple[str, ...]) -> Finding:
    """Two discs move straight, touch once without overlap, and part with their momentum and energy kept."""
    found = Finding()
    if not presence(seen, names, found):
        return found
    _steady_areas(seen, names, found)
    centre = seen.centre_px / scale
    radii = np.sqrt(seen.usual_area_px / np.pi) / scale
    num_frames = centre.shape[1]
    law = fit_kink(centre.transpose(0, 2, 1).reshape(4, num_frames), np.arange(3, num_frames - 3.9, 0.25))
    ok = law.rms < MAX_LINE_RMS_PX
    found.check("path_rms_px", law.rms, ok, "the discs do not move straight before and after")
    touch, before, after = law.coefficients.reshape(3, 2, 2)
    found.measures["contact_frame"] = law.parameter
    gap = float(np.hypot(*(touch[0] - touch[1])) / radii.sum())
    found.check("contact_gap", gap, 0.7 < gap < 1.3, "the discs turn without touching")
    nearest = float(np.hypot(*(centre[0] - centre[1]).T).min() / radii.sum())
    found.check("nearest_gap", nearest, nearest > 0.75, "the discs overlap")
    _momentum(found, touch, before, after, radii**2)
    found.measures["velocity_x"], found.measures["velocity_y"] = (before[0] * scale).tolist()
    return found


def _momentum(found: Finding, touch: Array, before: Array, after: Array, masses: Array) -> None:
    change = masses[:, None] * (after - before)
    scale = float(np.hypot(change[:, 0], change[:, 1]).mean())
    lost = float(np.hypot(*change.sum(axis=0))) / max(scale, 1e-9)
    found.check("momentum_error", lost, lost < 0.35, "the momentum is not kept")
    normal = (touch[1] - touch[0]) / max(float(np.hypot(*(touch[1] - touch[0]))), 1e-9)
    closing, parting = float((before[0] - before[1]) @ normal), float((after[1] - after[0]) @ normal)
    found.check("closing_speed", closing, closing > 0.3, "the discs do not approach each other")
    restitution = parting / max(closing, 1e-9)
    found.check("restitution", restitution, 0.65 < restitution < 1.4, "the discs do not bounce elastically")


def _steady_areas(seen: Tracks, names: tuple[str, ...], found: Finding) -> None:
    usual = seen.usual_area_px[:, None]
    change = np.abs(seen.area_px / usual - 1).max(axis=1)
    found.measures["area_change"] = float(change.max())
    for name, value in zip(names, change, strict=True):
        if value > 0.4:
            found.reasons.append(f"{name} changes its size")
