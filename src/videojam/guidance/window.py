"""The window of steps in which motion guidance runs: given in steps or in t, reported in both."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from videojam.errors import VideoJamError
from videojam.strict import Strict


class Window(Strict):
    """Motion guidance runs where start ≤ value < end; the default is the first half of the steps.

    Steps are not time: on a linear-quadratic schedule of 100 steps, step 50 is t = 0.025.
    """

    unit: Literal["share", "steps", "t"] = Field(
        "share",
        description="share: of the steps, 0..1; steps: step numbers from 0; t: the paper's time, 0 noise.",
    )
    start: float = Field(0.0, ge=0, allow_inf_nan=False, description="Where motion guidance begins.")
    end: float = Field(
        0.5, ge=0, allow_inf_nan=False, description="Where it ends; the end itself is outside."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.end <= self.start:
            raise ValueError(
                f"a window that ends ({self.end:g}) at or before its start ({self.start:g}) is empty; "
                "mode cfg samples without motion guidance"
            )
        if self.unit == "steps" and not (self.start.is_integer() and self.end.is_integer()):
            raise ValueError("step numbers are whole")
        if self.unit != "steps" and self.end > 1:
            raise ValueError(f"{self.unit} lies between 0 and 1, and the window ends at {self.end:g}")
        return self

    def __str__(self) -> str:
        return f"{self.unit}:{self.start:g}-{self.end:g}"

    def steps(self, times: list[float]) -> list[int]:
        """Return the steps inside the window.

        Args:
            times: The paper's t at which each step starts.
        """
        scale = {"share": len(times), "steps": 1, "t": 1}[self.unit]
        start, end = self.start * scale, self.end * scale
        values = times if self.unit == "t" else list(range(len(times)))
        return [i for i, value in enumerate(values) if start <= value < end]

    def report(self, times: list[float]) -> WindowReport:
        """Return the window both in steps and in t, on a given schedule."""
        steps = self.steps(times)
        if not steps:
            return WindowReport(num_steps=len(times), steps=(0, 0), t=(0.0, 0.0))
        after = steps[-1] + 1
        end = times[after] if after < len(times) else 1.0
        return WindowReport(num_steps=len(times), steps=(steps[0], after), t=(times[steps[0]], end))


class WindowReport(BaseModel):
    """A window on one schedule, both ways: `steps` and `t` are half-open ranges."""

    model_config = ConfigDict(frozen=True)

    num_steps: int = Field(description="Steps of the schedule.")
    steps: tuple[int, int] = Field(description="First step inside, first step after.")
    t: tuple[float, float] = Field(description="The paper's time at these two.")

    def __str__(self) -> str:
        if self.steps[0] == self.steps[1]:
            return f"motion guidance in none of {self.num_steps} steps"
        return (
            f"motion guidance in steps {self.steps[0]}..{self.steps[1] - 1} of {self.num_steps}, "
            f"t = {self.t[0]:.3f}..{self.t[1]:.3f}"
        )


def parse_window(text: str, where: str = "the window of motion guidance") -> Window:
    """Read a window as users write it: `all`, `half`, `steps:0-50`, `t:0-0.4` or `share:0-0.5`.

    Args:
        text: As the user wrote it.
        where: Flag or file it came from, for the message.

    Raises:
        VideoJamError: another text.
    """
    if text == "all":
        return Window(end=1.0)
    if text == "half":
        return Window()
    expected = "all, half, steps:0-50, t:0-0.4 or share:0-0.5"
    try:
        unit, _, span = text.partition(":")
        start, end = (float(value) for value in span.split("-"))
        return Window.model_validate({"unit": unit, "start": start, "end": end})
    except ValidationError as error:
        expected += f"; {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    except ValueError:
        pass  # not of the form at all
    raise VideoJamError(
        expected=expected,
        found=repr(text),
        where=where,
        fix="Write it in one of these forms.",
    )


def _read(value: Any) -> Any:
    return parse_window(value) if isinstance(value, str) else value


AsWindow = Annotated[Window, BeforeValidator(_read)]
"""A window, or text as users write it."""
