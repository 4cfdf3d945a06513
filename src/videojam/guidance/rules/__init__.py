"""The guidance rules: one file each, named after the rule, which holds all that is special about it.

The table is free of torch, so that the command line can offer the names at once. A further rule is a row here and
a file beside this one with a `Rule` called RULE.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from videojam.errors import VideoJamError

if TYPE_CHECKING:
    from videojam.guidance.rules.rule import Rule

RULES = {
    "inner": "Inner-Guidance, Eq. 8: by the text and by the model's own motion",
    "cfg": "classifier-free guidance, by the text only",
    "ip2p": "InstructPix2Pix guidance, an ablation of the paper",
    "auto": "autoguidance: by the text, and away from a weaker model",
    "none": "no guidance, one plain forward a step",
}
"""Rules by name, each with its meaning."""
JOINT_DEFAULT, BASE_DEFAULT = "inner", "cfg"
"""Rule of a joint model, and of a model or an arm without motion, if none is asked for."""


def rule_of(name: str) -> Rule:
    """Return a rule by its name.

    Raises:
        VideoJamError: no rule of that name.
    """
    if name not in RULES:
        raise VideoJamError(
            expected=f"one of {', '.join(RULES)}",
            found=repr(name),
            where="the guidance rule",
            fix="Correct the name.",
        )
    rule: Rule = import_module(f"{__name__}.{name}").RULE
    return rule
