"""Which shards a prepared folder has, and what decides them: a folder or shard of other settings is refused by name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videojam import fingerprints
from videojam.data.config import FACTS_NAME
from videojam.data.manifest import Manifest, ManifestRow, write_manifest
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepared import MANIFEST_NAME, UNUSED_NAME, image_facts
from videojam.data.shards import SCHEMA_VERSION, read_facts_of
from videojam.errors import VideoJamError
from videojam.files import write_text
from videojam.models.encoders import StoredEncoders
from videojam.models.resolve import resolve
from videojam.store import check_same

SAME_FIX = "Give the first value back to go on, or choose another output folder."


@dataclass(frozen=True)
class Shard:
    """Clips of one bucket that are written to one file.

    Attributes:
        number: Of all shards of the folder.
        path: Its file.
        rows: Its clips.
    """

    number: int
    path: Path
    rows: list[ManifestRow]

    @property
    def clips_hash(self) -> str:
        """Hash of the clips, their captions and stretches."""
        return fingerprints.of_data([asdict(row) for row in self.rows])


def plan_shards(out: Path, rows: list[ManifestRow], clips_per_shard: int) -> list[Shard]:
    """Divide clips into shards of one bucket each, in the manifest's order."""
    shards: list[Shard] = []
    for bucket in sorted({row.bucket for row in rows}):
        clips = [row for row in rows if row.bucket == bucket]
        for start in range(0, len(clips), clips_per_shard):
            number = len(shards)
            path = out / f"shard-{number:05d}-{bucket}.parquet"
            shards.append(Shard(number, path, clips[start : start + clips_per_shard]))
    return shards


def facts_of(request: PrepareRequest) -> dict[str, Any]:
    """Return all that decides the shards besides the clips, by name.

    Raises:
        VideoJamError: image conditions are asked for of a base that makes none.
    """
    folder = resolve(request.base)
    settings = request.settings
    parts = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir()
        and path.name.startswith(("vae", "text_encoder", "tokenizer", "connectors", "image_encoder"))
    )
    image = image_facts(StoredEncoders(request.base, request.device, settings.image_to_video))
    return {
        "schema_version": SCHEMA_VERSION,
        **settings.model_dump(mode="json", exclude={"image_to_video"}),  # `image` says more
        "estimator": settings.estimator().name,
        "encoders": {name: fingerprints.of_model_folder(folder / name) for name in parts},
        **({} if image is None else {"image": image}),
    }


def record_folder(out: Path, facts: dict[str, Any], manifest: Manifest) -> None:
    """Write what decides the shards, and the clips; or refuse a folder in which they differ."""
    path, clips = out / FACTS_NAME, out / MANIFEST_NAME
    if path.is_file():
        stored = json.loads(path.read_text())
        stored.pop("num_shards", None)  # it follows from the clips, which are compared by name
        asked = {key: value for key, value in facts.items() if key != "num_shards"}
        check_same(stored, asked, "with which the folder was prepared", path, SAME_FIX)
        if clips.is_file():
            _check_same_clips(clips, manifest.rows)
            return
    write_manifest(clips, manifest.rows)
    unused = {name: str(error) for name, error in manifest.problems.items()}
    write_text(out / UNUSED_NAME, json.dumps(unused, indent=1, ensure_ascii=False) + "\n")
    write_text(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _check_same_clips(path: Path, rows: list[ManifestRow]) -> None:
    before = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    now = {row.clip_id: json.loads(json.dumps(asdict(row))) for row in rows}
    old = {row["clip_id"]: row for row in before}
    differing = [name for name in [*old, *now] if old.get(name) != now.get(name)]
    if not differing:
        return
    name = differing[0]
    what = "gone" if name not in now else "new" if name not in old else "another one"
    if what == "another one":
        keys = [key for key, value in old[name].items() if now[name].get(key) != value]
        what = f"changed in {', '.join(keys)}"
    raise VideoJamError(
        expected=f"the {len(old)} clips with which the folder was prepared",
        found=f"{len(now)} clips; {name} is {what}",
        where=str(path),
        fix="Put the clips back to go on, or prepare into another folder.",
    )


def is_finished(shard: Shard, facts: dict[str, Any]) -> bool:
    """Whether a shard is there and whole; one that other settings or clips made is refused by name."""
    if not shard.path.is_file():
        return False
    stored = read_facts_of(shard.path)
    asked = {**facts, "clips_hash": shard.clips_hash}
    check_same({key: stored.get(key) for key in asked}, asked, "with which it was made", shard.path, SAME_FIX)
    return True
