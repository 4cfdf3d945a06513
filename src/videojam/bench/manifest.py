"""What made the clips of an arm: written beside them, and compared before more are added."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from videojam import provenance, store
from videojam.bench.folder import Bench, read_sealed, write_sealed
from videojam.bench.make.arms import ArmSpec, arm_of
from videojam.errors import VideoJamError
from videojam.misfits import reason


class Manifest(BaseModel):
    """`manifest.json` of an arm."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="The arm.")
    kind: str = Field(description="videojam, stock, world or import.")
    made_at: float = Field(description="Seconds since 1970 at which the arm was begun; orders the arms.")
    asked: dict[str, Any] = Field(description="What the user asked for; more clips must ask for the same.")
    fingerprint: str = Field(description="Of the model's files; more clips must come from the same ones.")
    num_frames: int | None = Field(None, description="Frames that a clip has.")
    height: int | None = Field(None, description="In px.")
    width: int | None = Field(None, description="In px.")
    fps: float | None = Field(None, description="Frame rate of the files.")
    noise: str = Field("", description="Arms with the same words here share the noise of a clip.")
    facts: dict[str, Any] = Field({}, description="Guidance, window, steps, motion style and the like.")
    rounding: dict[str, Any] = Field(
        {},
        description="Batch size, device and type: they move a clip by rounding, so its arm has one of each.",
    )
    versions: list[dict[str, str]] = Field(
        [], description="Packages; more than one entry where they changed."
    )


def begin(spec: ArmSpec, kind: str, fingerprint: str, rounding: dict[str, Any] | None = None) -> Manifest:
    """Return the manifest of an arm of which nothing is made yet."""
    return Manifest(
        name=spec.name,
        kind=kind,
        made_at=time.time(),
        asked=spec.asked(),
        fingerprint=fingerprint,
        rounding=rounding or {},
    )


def read_manifest(bench: Bench, arm: str) -> Manifest | None:
    """Read an arm's manifest; None if the arm doesn't exist.

    Raises:
        VideoJamError: a file that is damaged, edited, or of another version.
    """
    path = bench.arm_folder(arm) / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = Manifest.model_validate(read_sealed(path))
        if manifest.name != arm:
            raise ValueError(f"the manifest of an arm {manifest.name!r}")
        return manifest
    except (OSError, ValueError) as error:
        raise VideoJamError(
            expected=f"the manifest of arm {arm!r}, as videojam wrote it",
            found=reason(error),
            where=str(path),
            fix="Put the file back as it was, or remove the arm's folder to make its clips again.",
        ) from None


def write_manifest(bench: Bench, manifest: Manifest) -> None:
    """Write an arm's manifest with the versions of now."""
    now = provenance.versions()
    if now not in manifest.versions:
        manifest.versions.append(now)
    write_sealed(bench.arm_folder(manifest.name) / "manifest.json", manifest.model_dump(mode="json"))


def check_same(bench: Bench, old: Manifest, new: Manifest) -> None:
    """Refuse to mix clips of two models or settings in one arm.

    Raises:
        VideoJamError: names the field that differs.
    """
    asked = arm_of(old.name, old.asked, f"arm {old.name!r}").asked()  # an earlier version wrote short names
    before, now = (
        {"kind": manifest.kind, **settings, "the model's files": manifest.fingerprint}
        for manifest, settings in ((old, asked), (new, new.asked))
    )
    _compare(bench, old.name, before, now)


def check_rounding(bench: Bench, old: Manifest, new: Manifest) -> None:
    """Refuse to add clips to an arm in other batches, on another device or in another type.

    Raises:
        VideoJamError: names what differs, or that the arm does not say it.
    """
    if new.rounding and not old.rounding:
        raise VideoJamError(
            expected=f"an arm that says in what batches, where and in what type it was made: {new.rounding}",
            found="clips of an earlier version, which did not write it down",
            where=str(bench.arm_folder(old.name)),
            fix="Give the new arm another name (NAME=MODEL), or remove that folder to make its clips again.",
        )
    _compare(bench, old.name, old.rounding, new.rounding)


def _compare(bench: Bench, arm: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    store.check_same(
        before,
        now,
        f"as the clips of arm {arm!r} were made with",
        bench.arm_folder(arm),
        "Ask for the same, give the new arm another name (NAME=MODEL), or choose another --out.",
    )
