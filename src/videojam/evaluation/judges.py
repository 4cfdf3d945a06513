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
from videojam.evaluation.table import JUDGES
from videojam.misfits import reason

if TYPE_CHECKING:
    from videojam.evaluation.judge import Judge
    from videojam.evaluation.vbench.judge import VBenchJudge
    from videojam.evaluation.vbench.weights import VBenchParts

GIVEN = ("device", "parts")
"""What a class or function of the user's may ask for."""

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def build_judges(
    names: Sequence[str], device: str = "cpu", vbench_parts: str | Path | None = None
) -> list[Judge]:
    """Build judges by name, or from the MODULE:NAME of a class or function of one's own.

    The module is imported, so name only one that you trust; a class without `score`, and a function that is not
    annotated to return a judge, are refused without being run. One that has a parameter `device` is given the device,
    one that has `parts` the parts of VBench; a function may return one judge or several.

    Args:
        names: Of `JUDGES`, or MODULE:NAME.
        device: Where networks run.
        vbench_parts: YAML or JSON file with fields of `VBenchParts`; the published weights if not given.

    Raises:
        VideoJamError: an unknown name, a module that can't be imported, something that is no judge, a file that
            doesn't fit, or two judges of one name.
    """
    given: dict[str, Any] = {"device": device}
    if vbench_parts is not None:
        given["parts"] = _read_parts(Path(vbench_parts))
    judges: list[Judge] = []
    for name in dict.fromkeys(names):
        factory = _factory(name)
        wanted = inspect.signature(factory).parameters
        built = factory(**{key: value for key, value in given.items() if key in wanted})
        judges += [_check(one, name) for one in (built if isinstance(built, (list, tuple)) else [built])]
    taken = [judge.name for judge in judges]
    if len(set(taken)) < len(taken):
        raise VideoJamError(
            expected="judges of different names",
            found=", ".join(taken),
            where="--judge",
            fix="Give only one of those that have the same name.",
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
            found=reason(error),
            where=str(path),
            fix="Correct the file; docs/vbench.md lists the parts.",
        ) from None


def _factory(name: str) -> Callable[..., Any]:
    """Return what builds a judge, without running it.

    Raises:
        VideoJamError: an unknown name, a module that can't be imported, or something that builds no judge.
    """
    module, colon, attribute = JUDGES.get(name, name).partition(":")
    if not colon:
        raise _no_judge(name, "an unknown name")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a module of the user's raises while it is imported
        raise _no_judge(name, f"{type(error).__name__}: {error}") from None
    if not _builds_a_judge(found):
        raise _no_judge(name, f"{type(found).__name__} {attribute}, which was not run")
    parameters = inspect.signature(found).parameters.values()
    open_ones = [p.name for p in parameters if p.default is p.empty and p.kind not in _VARIADIC]
    if unknown := [one for one in open_ones if one not in GIVEN]:
        raise _no_judge(name, f"{attribute}, which needs {', '.join(unknown)}")
    return found


def _builds_a_judge(found: Any) -> bool:
    """Whether it is a class with `score`, or a function whose annotation says that it returns a judge or judges."""
    if inspect.isclass(found):
        return callable(getattr(found, "score", None))
    if not inspect.isfunction(found):
        return False
    return "Judge" in str(inspect.signature(found).return_annotation)


def _check(judge: Any, name: str) -> Judge:
    """Return a judge that was built, if it is one.

    Raises:
        VideoJamError: it lacks `name`, `score` or declared measures.
    """
    from videojam.evaluation.judge import Judge, declaration

    if not isinstance(judge, Judge):
        raise _no_judge(name, f"{type(judge).__name__}, without name, measures or score")
    try:
        declared = declaration(judge)
    except (ValidationError, TypeError) as error:
        raise _no_judge(name, f"measures that are not declared: {reason(error)}") from None
    names = [measure.name for measure in declared.measures]
    if len(set(names)) < len(names) or not judge.name.strip():
        raise _no_judge(name, "measures of one name, or a judge without a name")
    return judge


def _no_judge(name: str, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"one of {', '.join(JUDGES)}, or MODULE:NAME of a class with name, measures and score, or of a "
        "function that is annotated to return such a judge (-> Judge)",
        found=found,
        where=f"--judge {name}",
        fix="Correct the name; docs/bench.md has an example of a judge of your own.",
    )
