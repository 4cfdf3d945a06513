"""What a training run shows: notes, two progress bars or lines with the time left, and its losses."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import TextColumn

from videojam.cli.progress import SECONDS_BETWEEN_LINES, Bars, duration


class TrainProgress(Bars):
    """A listener for `train` that draws bars on a terminal, and plain lines where there is none."""

    def __init__(self, num_steps: int) -> None:
        super().__init__(TextColumn("{task.fields[losses]}"))
        self.num_steps = num_steps
        self.encoding = self.bars.add_task("encoding clips", total=None, losses="", visible=False)
        self.training = self.bars.add_task("training", total=num_steps, losses="", visible=False)
        self.encoding_from: tuple[float, int] | None = None
        self.last_line = 0.0

    def __call__(self, kind: str, content: Any) -> None:
        """Take one event of the run: `note`, `encode` or `line`."""
        if kind == "note":
            self.print(content)
        elif kind == "encode":
            self.encode(*content)
        elif "learning_rate" in content:
            self.step(content)
        else:
            self.print(held_out_line(content))

    def print(self, line: str) -> None:
        """Print a whole line; a terminal wraps it, a log does not."""
        if self.console.is_terminal:
            self.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=self.console.file, flush=True)

    def encode(self, done: int, total: int) -> None:
        """Show how many clips are encoded; in a log every ten seconds."""
        self.bars.update(self.encoding, completed=done, total=total, visible=True)
        now = time.monotonic()
        if self.encoding_from is None:
            self.encoding_from, self.last_line = (now, done), now
        began, before = self.encoding_from
        if not self.console.is_terminal and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            left = duration((now - began) / max(done - before, 1) * (total - done))
            self.print(f"encoding clips: {done} of {total}, {left} left")

    def step(self, line: dict[str, Any]) -> None:
        """Show a log line of the steps: where the run is, the losses apart, and the time left."""
        losses = "  ".join(f"{k} {line[k]:.4f}" for k in ("appearance", "motion") if k in line)
        losses += f"  {line['bad_steps']} bad steps left out" if line.get("bad_steps") else ""
        self.bars.update(self.training, completed=line["step"], losses=losses, visible=True)
        if not self.console.is_terminal:
            left = duration(line["left_s"])
            self.print(f"step {line['step']}/{self.num_steps}  {losses}{_speed(line)}  {left} left")


def _speed(line: dict[str, Any]) -> str:
    """Write clips and tokens a second, MFU, memory, and waiting for data where it is more than a little."""
    parts = [f"{line['clips_per_s']:.3g} clips/s"]
    if line.get("tokens_per_s"):
        parts.append(f"{line['tokens_per_s']:.3g} tokens/s")
    if "mfu" in line:
        parts.append(f"MFU {line['mfu']:.1%}")
    parts.append(f"{line['memory_gib']:.1f} GiB")
    if line["data_share"] > 0.02:
        parts.append(f"waits for data {line['data_share']:.0%}")
    return "  " + ", ".join(parts)


def held_out_line(line: dict[str, Any]) -> str:
    """Write held-out losses on one line: one value for each time t, the two halves apart, and w* of motion."""
    parts = [f"held out at step {line['step']}:"]
    for half in ("appearance", "motion"):
        values = {k.partition("@")[2]: v for k, v in line.items() if k.startswith(f"heldout_{half}@")}
        if values:
            parts.append(f"{half} " + " ".join(f"t={t}: {v:.4f}" for t, v in values.items()))
    scales = {k.partition("@")[2]: v for k, v in line.items() if k.startswith("w_star_motion@")}
    if scales:
        parts.append("w* of motion " + " ".join(f"t={t}: {v:.2f}" for t, v in scales.items()))
    return "  ".join(parts)
