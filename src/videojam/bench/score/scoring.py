"""Scoring: each clip is decoded once, for all judges, and what is scored is never scored again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from videojam.bench.folder import Bench, Item, write_text
from videojam.bench.manifest import Manifest, read_manifest
from videojam.bench.score.checks import notice_of, problem_of
from videojam.bench.work import Rank
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Declaration, Judge, Verdict, declaration, missing, numbers_of
from videojam.misfits import reason
from videojam.motion.video import Clip, read_video
from videojam.store import append_row, read_rows, stamp_of

CLIP = "clip"
"""In the place of a judge's name, on the line about the clip itself."""
LINE_KEYS = ("clip", "judge", "stamp", "scores", "problem")
"""What each line holds."""

DECLARED = "judges.jsonl"
"""Beside the scores: what each judge declares of its measures."""


def score_arm(
    bench: Bench,
    arm: str,
    judges: Sequence[Judge],
    *,
    rank: Rank | None = None,
    on_clip: Callable[[int, int], None] | None = None,
) -> int:
    """Score the clips of an arm that a judge has not scored yet; a clip that changed is scored again.

    Each clip and judge is a line of `scores/ARM.RANK.jsonl`, written as soon as it is known.

    Args:
        bench: The bench.
        arm: The arm.
        judges: Asked one after another about the same decoded clip.
        rank: Which part of the clips.
        on_clip: Called with the number of clips that are done and the number of all, of this rank.

    Returns:
        Number of clips that were decoded.

    Raises:
        VideoJamError: no such arm; no room or permission.
    """
    rank = rank or Rank()
    manifest = read_manifest(bench, arm)
    if manifest is None:
        raise bench.unknown(arm)
    known = scores_by_clip(bench, arm)
    todo = [
        (item, judges_left)
        for item in rank.share(bench.items)
        if (judges_left := _left(bench, arm, item, judges, known)) is not None
    ]
    num_there = sum(bench.clip(arm, item).exists() for item in rank.share(bench.items))
    num_done, listen = num_there - len(todo), on_clip or (lambda done, total: None)
    listen(num_done, num_there)
    declare(bench, *map(declaration, judges))
    out = bench.folder / "scores" / f"{arm}.{rank.number}.jsonl"
    paths = [bench.clip(arm, item) for item, _ in todo]
    for (item, judges_left), (stamp, clip) in zip(todo, _decoded(paths), strict=True):
        for line in _judge(item, clip, manifest, judges_left):
            append_row(out, {"clip": item.key, "stamp": stamp, **line})
        num_done += 1
        listen(num_done, num_there)
    return len(todo)


def declare(bench: Bench, *judges: Declaration) -> None:
    """Keep what judges say of their measures beside the scores, unless it is there already.

    Raises:
        VideoJamError: no room or permission.
    """
    known = declarations(bench)
    for judge in judges:
        if known.get(judge.judge) != judge:
            line = judge.model_dump(mode="json", exclude_defaults=True)
            append_row(bench.folder / "scores" / DECLARED, line)


def declarations(bench: Bench) -> dict[str, Declaration]:
    """Return what the judges of a bench declare, by the judge's name; the last word counts.

    Raises:
        VideoJamError: a damaged line.
    """
    path = bench.folder / "scores" / DECLARED
    try:
        found = [Declaration.model_validate(line) for line in read_rows(path, ("judge", "measures"))]
    except ValidationError as error:
        raise VideoJamError(
            expected="what each judge declares of its measures",
            found=reason(error),
            where=str(path),
            fix="Delete the file, and run `videojam bench score`: the judges declare themselves again.",
        ) from None
    return {judge.judge: judge for judge in found}


def scores_by_clip(bench: Bench, arm: str) -> dict[tuple[str, str, str | None], dict[str, Any]]:
    """Return the line of each (clip, judge, stamp); a judge that came again with more measures adds to it."""
    known: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    for line in bench.read_scores(arm, LINE_KEYS, _is_line):
        key = (line["clip"], line["judge"], line["stamp"])
        before = known.get(key)
        known[key] = line if before is None else {**line, "scores": {**before["scores"], **line["scores"]}}
    return known


def _is_line(line: dict[str, Any]) -> bool:
    """Whether the values of a line are such that this version, or an earlier one, wrote it."""
    texts = [line[key] for key in ("clip", "judge", "stamp", "problem") if line[key] is not None]
    scores, reasons = line["scores"], line.get("reasons", {})
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(scores, dict)
        and all(
            isinstance(value, int | float) and isfinite(value)
            for value in scores.values()
            if value is not None
        )
        and isinstance(reasons, dict)
        and all(isinstance(words, list) for words in reasons.values())
    )


def forget_fits(bench: Bench, arm: str) -> None:
    """Remove the lines of whether an arm's clips fit each other; the next scoring checks again and asks no judge.

    Raises:
        VideoJamError: a damaged line; no room or permission.
    """
    for path in bench.score_files(arm):
        kept = [
            json.dumps(row) + "\n" for row in read_rows(path, LINE_KEYS, _is_line) if row["judge"] != CLIP
        ]
        write_text(path, "".join(kept))


def unfit_clips(bench: Bench, arm: str) -> set[str]:
    """Return the clips that, as they are now, could not be read or don't fit the arm's others."""
    known = scores_by_clip(bench, arm)
    own = {item.key: known.get((item.key, CLIP, stamp_of(bench.clip(arm, item)))) for item in bench.items}
    return {key for key, line in own.items() if line and line["problem"]}


def _left(
    bench: Bench, arm: str, item: Item, judges: Sequence[Judge], known: dict[Any, Any]
) -> list[Judge] | None:
    """Return the judges that have not seen an item's clip as it is now; None where nothing is left to do."""
    stamp = stamp_of(bench.clip(arm, item))
    own = known.get((item.key, CLIP, stamp))
    if stamp is None or (own and own["problem"]):
        return None
    left = [judge for judge in judges if not _has_scored(judge, known.get((item.key, judge.name, stamp)))]
    return left if left or own is None else None


def _has_scored(judge: Judge, line: dict[str, Any] | None) -> bool:
    return line is not None and {measure.name for measure in judge.measures} <= line["scores"].keys()


def _decoded(paths: Sequence[Path]) -> Iterator[tuple[str | None, Clip | VideoJamError]]:
    """Yield each clip, or why it can't be read, while the next one is being decoded."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(_read, paths[0]) if paths else None
        for i in range(len(paths)):
            assert ahead is not None
            now = ahead.result()
            if i + 1 < len(paths):
                ahead = pool.submit(_read, paths[i + 1])
            yield now


def _read(path: Path) -> tuple[str | None, Clip | VideoJamError]:
    stamp = stamp_of(path)
    try:
        return stamp, read_video(path)
    except VideoJamError as error:
        return stamp, error


def _judge(
    item: Item, clip: Clip | VideoJamError, manifest: Manifest, judges: Sequence[Judge]
) -> Iterator[dict[str, Any]]:
    """Yield the line of the clip itself, and, unless it is unfit, one for each judge."""
    problem = f"unreadable: {clip.found}" if isinstance(clip, VideoJamError) else problem_of(clip, manifest)
    notice = None if isinstance(clip, VideoJamError) or problem else notice_of(clip)
    if not isinstance(clip, VideoJamError) and not problem:
        for judge in judges:
            yield {"judge": judge.name, **_ask(judge, clip, item)}
    # Last: a run that is killed between two lines asks the judges again that are missing, no others.
    yield {"judge": CLIP, "scores": {}, "problem": problem, "notice": notice}


def _ask(judge: Judge, clip: Clip, item: Item) -> dict[str, Any]:
    try:
        returned = judge.score(clip.frames, clip.fps, item.prompt.text)
    except VideoJamError as error:
        return {
            "scores": {measure.name: None for measure in judge.measures},
            "problem": f"{error.found} (expected {error.expected})",
        }
    scores = numbers_of(returned, judge, item.key)
    gone = missing(scores, judge)
    # JSON has no NaN.
    finite = {m.name: None if m.name in gone else float(scores[m.name]) for m in judge.measures}
    without = [f"{name}: {reason}" if reason else name for name, reason in gone.items()]
    said: dict[str, Any] = {
        "scores": finite,
        "problem": f"no value for {'; '.join(without)}" if gone else None,
    }
    reasons = {name: list(value.reasons) for name, value in scores.items() if isinstance(value, Verdict)}
    return {**said, "reasons": reasons} if reasons else said
