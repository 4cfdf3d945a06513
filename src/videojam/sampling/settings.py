"""The settings of a sample: what a user asks for, and the same with everything left open filled in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from videojam.errors import VideoJamError
from videojam.guidance.config import PRESETS, Guidance, Mode, MotionOn, Weight
from videojam.guidance.lead import require_own_noise
from videojam.guidance.rules import BASE_DEFAULT, JOINT_DEFAULT, rule_of
from videojam.guidance.window import AsWindow, Window, parse_window
from videojam.misfits import ContradictionError, explained, fitted
from videojam.models.load import LoadedModel
from videojam.models.record import DEFAULTS_NAME
from videojam.sampling.schedule import Schedule
from videojam.strict import FrameRate, Strict

SHORT_NAMES = {"steps": "num_steps", "frames": "num_frames"}
"""Keys as the command line and the arms of a bench write them."""
OF_MOTION = ("w_motion", "motion_on", "window", "batched", "preset")
"""Fields of guidance that only a rule with a branch of its own reads."""
OF_GUIDANCE = ("mode", "w_text", "w_auto", *OF_MOTION[:-1], "reuse_every", "lead", "drop_motion")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _known_preset(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"one of {', '.join(PRESETS)}")
    return name


class SampleSettings(Strict):
    """What a user asks of a sample; what isn't given comes from the model folder, then from the stock pipeline."""

    mode: Mode | None = Field(None, description="Guidance rule: inner, cfg, ip2p, auto or none.")
    w_text: Weight | None = Field(None, description="w1; a stock guidance_scale is 1 + w1.")
    w_motion: Weight | None = Field(None, description="w2, the weight of the model's own motion.")
    w_auto: Weight | None = Field(None, description="w of auto: ũ = … + w·(u − u_weaker).")
    weaker: str | None = Field(
        None, description="Folder of the weaker model that auto guides away from, of the same base."
    )
    preset: Annotated[str, AfterValidator(_known_preset)] | None = Field(
        None, description="When each branch runs: paper, or two-forwards, at the cost of plain CFG."
    )
    window: AsWindow | None = Field(
        None, description="When motion guides: all, half, steps:0-50, t:0-0.4 or share:0-0.5."
    )
    motion_on: MotionOn | None = Field(None, description="What w2 guides: both halves or only appearance.")
    drop_motion: bool | None = Field(None, description="No optical flow in any forward.")
    lead: Positive | None = Field(
        None,
        description="How far d is ahead of x, where motion.noise is own: 1 − t_d = (1 − t)^lead.",
    )
    reuse_every: Count | None = Field(None, description="Compute what guidance adds on every n-th step only.")
    batched: bool | None = Field(None, description="Run the null-motion branch in one batch with its pass.")
    num_steps: Count | None = Field(None, description="Sampling steps.")
    num_frames: Count | None = Field(None, description="Frames of a clip; 4k+1 for Wan.")
    height: Count | None = Field(None, description="Height in px.")
    width: Count | None = Field(None, description="Width in px.")
    fps: FrameRate | None = Field(None, description="Frame rate of the files, in frames per second.")
    negative_prompt: str | None = Field(None, description="Null text of guidance.")
    max_sequence_length: Count | None = Field(None, description="Text tokens, padding included.")
    schedule: Schedule = Field("base", description="Schedule of the steps: base or linear_quadratic.")
    shift: Positive | None = Field(None, description="Flow shift in place of the base's.")

    @model_validator(mode="before")
    @classmethod
    def _long_names(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        return {
            SHORT_NAMES[key] if key in SHORT_NAMES and SHORT_NAMES[key] not in content else key: value
            for key, value in content.items()
        }

    @model_validator(mode="after")
    def _agrees_with_preset(self) -> SampleSettings:
        for name, value in self.of_preset.items():
            given = getattr(self, name)
            if given is not None and given != value:
                raise ContradictionError(
                    f"either the preset {self.preset} or {name}, which the preset sets to {value}",
                    {"preset": self.preset, name: given if isinstance(given, int) else str(given)},
                )
        return self

    @property
    def of_preset(self) -> dict[str, Any]:
        """What the preset sets."""
        return {} if self.preset is None else PRESETS[self.preset]

    @property
    def given(self) -> dict[str, Any]:
        """What was asked for, by name."""
        return {name: value for name, value in self if value is not None}

    @classmethod
    def of(cls, guidance: Guidance, **more: Any) -> SampleSettings:
        """Return settings with all that a whole guidance says, as far as its rule reads it."""
        names = [name for name in OF_GUIDANCE if name not in unread(guidance.mode, guidance.drop_motion)]
        return cls(**{name: getattr(guidance, name) for name in names}, **more)


class ResolvedSettings(Strict):
    """The settings of a sample with nothing left open."""

    guidance: Guidance = Field(description="How the sample is guided.")
    weaker: str | None = Field(None, description="The weaker model of autoguidance; None without it.")
    num_steps: int = Field(description="Sampling steps.")
    num_frames: int = Field(description="Frames of a clip.")
    height: int = Field(description="Height in px.")
    width: int = Field(description="Width in px.")
    fps: float = Field(description="Frame rate of the files, in frames per second.")
    negative_prompt: str | None = Field(description="Null text of guidance; None is the pipeline's own.")
    max_sequence_length: int = Field(description="Text tokens, padding included.")
    schedule: Schedule = Field(description="Schedule of the steps.")
    shift: float | None = Field(description="Flow shift in place of the base's; None is the base's own.")


def read_settings(content: dict[str, Any], where: str = "the settings of the sample") -> SampleSettings:
    """Return settings of keys and values as users write them; None is not given.

    Raises:
        VideoJamError: an unknown key, or a value that doesn't fit.
    """
    given = {key: value for key, value in content.items() if value is not None}
    return fitted(SampleSettings, given, where, "The settings of a sample are listed in docs/sampling.md.")


def settings_of(settings: SampleSettings | None, changes: dict[str, Any]) -> SampleSettings:
    """Return settings with changes: keys of `SampleSettings`, or `guidance`, a whole `Guidance`.

    Raises:
        VideoJamError: as `read_settings`.
    """
    changes = dict(changes)
    guidance = changes.pop("guidance", None)
    content = {} if settings is None else settings.given
    if guidance is not None:
        content = {key: value for key, value in content.items() if key not in (*OF_GUIDANCE, "preset")}
        content |= SampleSettings.of(guidance).given
    return read_settings(content | {SHORT_NAMES.get(key, key): value for key, value in changes.items()})


def resolve(model: LoadedModel, settings: SampleSettings | None = None) -> ResolvedSettings:
    """Fill what isn't given from the folder's defaults, then from the stock pipeline's own.

    Args:
        model: Base or joint model.
        settings: What the user asks for.

    Raises:
        VideoJamError: guidance that doesn't fit the model, or a setting that nothing would read.
    """
    settings = settings or SampleSettings()

    def pick(name: str, stock_name: str | None = None) -> Any:
        for value in (getattr(settings, name), getattr(model.defaults, name)):
            if value is not None:
                return value
        return model.family.default(model.pipeline, stock_name or name)

    guidance = _resolve_guidance(model, settings)
    _require_weaker(model, guidance, settings.weaker)
    return ResolvedSettings(
        guidance=guidance,
        weaker=settings.weaker,
        num_steps=pick("num_steps", "num_inference_steps"),
        num_frames=pick("num_frames"),
        height=pick("height"),
        width=pick("width"),
        fps=settings.fps or model.defaults.fps or model.family.fps,
        negative_prompt=pick("negative_prompt"),
        max_sequence_length=pick("max_sequence_length"),
        schedule=settings.schedule,
        shift=settings.shift,
    )


def guidance_of_folder(model: LoadedModel, settings: SampleSettings) -> str | None:
    """Say which of w1, w2 and the window come from the model's folder, and what they were chosen by; None if none do.

    Args:
        model: Base or joint model.
        settings: What the user asks for.
    """
    guidance = resolve(model, settings).guidance
    names = {"w_text": "w1", "w_motion": "w2", "window": "window"}
    unused = unread(guidance.mode, guidance.drop_motion) | settings.given.keys() | settings.of_preset.keys()
    taken = [
        f"{word} {getattr(model.defaults, name)}"
        for name, word in names.items()
        if name not in unused and getattr(model.defaults, name) is not None
    ]
    if not taken:
        return None
    by = f", chosen by {model.defaults.guidance_from}" if model.defaults.guidance_from else ""
    return f"{', '.join(taken)}: the model's own ({DEFAULTS_NAME}{by})"


def unread(mode: str, drop_motion: bool = False) -> set[str]:
    """Return the fields of guidance that a rule doesn't read."""
    rule = rule_of(mode)
    has_branch = rule.needs_weaker or (rule.branch is not None and not drop_motion)
    fields = {"w_text", "w_motion", "w_auto"} - set(rule.weights) | (set() if has_branch else set(OF_MOTION))
    return fields | {"lead"} if drop_motion else fields


def _resolve_guidance(model: LoadedModel, settings: SampleSettings) -> Guidance:
    asked = {name: value for name, value in settings.given.items() if name in OF_GUIDANCE}
    preset = {"preset": settings.preset} if settings.preset else {}
    has_motion = model.is_joint and not settings.drop_motion
    mode = settings.mode or (JOINT_DEFAULT if has_motion else BASE_DEFAULT)
    _refuse_motion_of_base(model, mode, asked | settings.of_preset)
    _refuse_unread(model, mode, asked | preset)
    require_own_noise(settings.lead or 1.0, model.family, model.source)
    weights = {name: getattr(model.defaults, name) for name in ("w_text", "w_motion")}
    weights["w_text"] = model.family.default_w_text if weights["w_text"] is None else weights["w_text"]
    given = {name: value for name, value in weights.items() if value is not None}
    if rule_of(mode).needs_weaker:
        given["window"] = Window(end=1.0)  # half the steps is the paper's, for motion
    elif model.defaults.window is not None:
        given["window"] = parse_window(model.defaults.window, f"{model.source}, {DEFAULTS_NAME}: window")
    try:
        return Guidance(**{**given, **settings.of_preset, **asked, "mode": mode})
    except ValueError as error:
        raise explained(error, Guidance, "guidance") from None  # type: ignore[arg-type]


def _refuse_motion_of_base(model: LoadedModel, mode: str, asked: dict[str, Any]) -> None:
    """Refuse what a base has no motion half, and no hook, for."""
    if model.is_joint:
        return
    rule = rule_of(mode)
    if (rule.branch is not None and not rule.needs_weaker) or asked.get("drop_motion"):
        raise VideoJamError(
            expected=f"guidance {BASE_DEFAULT}, auto or none for a base model, which has no motion half",
            found=f"guidance {mode}" + (", drop_motion" if asked.get("drop_motion") else ""),
            where=model.source,
            fix=f"Convert and train it first, or sample with guidance {BASE_DEFAULT}.",
        )
    if rule.needs_weaker and "motion_on" in asked:
        raise VideoJamError(
            expected="no motion_on for a base model, which has no motion half",
            found=f"motion_on = {asked['motion_on']}",
            where=model.source,
            fix="Leave motion_on out, or sample a joint model.",
        )
    if asked.get("reuse_every", 1) > 1 and not rule.needs_weaker:
        raise VideoJamError(
            expected="reuse_every = 1 for a base model, whose pipeline runs without our hook",
            found=f"reuse_every = {asked['reuse_every']}",
            where=model.source,
            fix="Leave reuse_every out, or sample a joint model.",
        )


def _require_weaker(model: LoadedModel, guidance: Guidance, weaker: str | None) -> None:
    """Refuse auto without a weaker model, and a weaker model that nothing would read."""
    needs = guidance.rule.needs_weaker
    if needs and weaker is None:
        raise VideoJamError(
            expected="weaker=PATH, the model that guidance auto guides away from",
            found="none given",
            where=model.source,
            fix="Give the folder of an earlier checkpoint or of another weaker model of the same base.",
        )
    if weaker is not None and not needs:
        raise VideoJamError(
            expected="a weaker model only with guidance auto",
            found=f"weaker = {weaker} with guidance {guidance.mode}",
            where=model.source,
            fix="Leave weaker out, or choose guidance auto.",
        )


def _refuse_unread(model: LoadedModel, mode: str, asked: dict[str, Any]) -> None:
    """Refuse what was asked for and wouldn't be read."""
    names = unread(mode, bool(asked.get("drop_motion")))
    ignored = {name: value for name, value in asked.items() if name in names and value is not False}
    if not ignored:
        return
    fix = f"Leave {' and '.join(ignored)} out"
    raise VideoJamError(
        expected=f"settings that guidance {mode} reads",
        found=", ".join(f"{name} = {value}" for name, value in ignored.items()),
        where=model.source,
        fix=f"{fix}, or choose a guidance rule that reads it."
        if model.is_joint
        else f"{fix}: a base model has no motion half.",
    )
