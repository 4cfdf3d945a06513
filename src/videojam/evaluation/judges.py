"""The judges that a bench can be asked for by name; each is imported when it is asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from videojam.errors import VideoJamError
from videojam.evaluation.judge import Judge

if TYPE_CHECKING:
    from videojam.evaluation.vbench.judge import VBenchJudge
    from videojam.evaluation.vbench.weights import VBenchParts

JUDGES = {
    "world": "videojam.evaluation.world_judge:WorldJudge",
    "proxies": "videojam.evaluation.proxies:ProxyJudge",
    "proxies-raft": "videojam.evaluation.judges:raft_proxies",
    "vbench": "videojam.evaluation.vbench.judge:VBenchJudge",
    "vbench-all": "videojam.evaluation.judges:all_of_vbench",
}
"""Factories by name, as MODULE:NAME."""

DEFAULTS = {"world": ["world"], "": ["proxies"]}
"""Judges by suite; those of any other suite are under the empty name."""


def build_judges(
    names: Sequence[str], device: str = "cpu", vbench_parts: str | Path | None = None
) -> list[Judge]:
    """Build judges by name, or from the MODULE:NAME of a factory of one's own.

    A factory that has a parameter `device` is given the device, one that has `parts` the parts of VBench; it may
    return one judge or several.

    Args:
        names: Of `JUDGES`, or MODULE:NAME.
        device: Where networks run.
        vbench_parts: YAML or JSON file with fields of `VBenchParts`; the published weights if not given.

    Raises:
        VideoJamError: an unknown name, a module that can't be imported, a file that doesn't fit, or two judges of
            one name.
    """
    given: dict[str, Any] = {"device": device}
    if vbench_parts is not None:
        given["parts"] = _read_parts(Path(vbench_parts))
    judges: list[Judge] = []
    for name in dict.fromkeys(names):
        factory = _factory(name)
        wanted = inspect.signature(factory).parameters
        built = factory(**{key: value for key, value in given.items() if key in wanted})
        judges += built if isinstance(built, (list, tuple)) else [built]
    taken = [judge.name for judge in judges]
    if len(set(taken)) < len(taken):
        raise VideoJamError(
            expected="judges of different names",
            found=", ".join(taken),
            where="--judge",
            fix="Name each dimension once.",
        )
    return judges


def all_of_vbench(parts: VBenchParts | None = None, device: str = "cpu") -> VBenchJudge:
    """Return VBench's judge with all six dimensions, two of them with non-commercial parts."""
    from videojam.evaluation.vbench.aggregate import DIMENSIONS
    from videojam.evaluation.vbench.judge import VBenchJudge

    return VBenchJudge(DIMENSIONS, parts, device)


def raft_proxies(device: str = "cpu") -> Judge:
    """Return the panel of proxies with RAFT in the place of DIS."""
    from videojam.evaluation.proxies import ProxyJudge
    from videojam.motion.estimators import build_estimator

    return ProxyJudge(build_estimator("raft", device=device))


def _read_parts(path: Path) -> VBenchParts:
    from videojam.evaluation.vbench.weights import VBenchParts

    try:
        return VBenchParts.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise VideoJamError(
            expected=f"a YAML or JSON file with some of {', '.join(VBenchParts.model_fields)}",
            found=str(error).splitlines()[0],
            where=str(path),
            fix="See docs/vbench.md for the parts.",
        ) from None


def _factory(name: str) -> Callable[..., Any]:
    module, colon, attribute = JUDGES.get(name, name).partition(":")
    try:
        if colon:
            return getattr(importlib.import_module(module), attribute)
        found = "an unknown name"
    except (ImportError, AttributeError) as error:
        found = str(error)
    raise VideoJamError(
        expected=f"one of {', '.join(JUDGES)}, or MODULE:NAME of a factory",
        found=found,
        where=f"--judge {name}",
        fix="Correct the name; docs/bench.md says what a judge of one's own needs.",
    )
