"""What a training run shows on a terminal: notes, two progress bars, and its losses."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainProgress:
    """A listener for `train` that draws bars on a terminal, and plain lines where there is none."""

    def __init__(self, num_steps: int, console: Console | None = None) -> None:
        self.console = console or Console()
        self.num_steps = num_steps
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.encoding = self.bars.add_task("encoding clips", total=None, losses="", visible=False)
        self.training = self.bars.add_task("training", total=num_steps, losses="", visible=False)

    def __enter__(self) -> TrainProgress:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def __call__(self, kind: str, content: Any) -> None:
        """Take one event of the run: `note`, `encode` or `line`."""
        if kind == "note":
            self.console.print(content, highlight=False)
        elif kind == "encode":
            done, total = content
            self.bars.update(self.encoding, completed=done, total=total, visible=True)
        elif "loss" in content:
            losses = "  ".join(f"{k} {content[k]:.4f}" for k in ("appearance", "motion") if k in content)
            self.bars.update(self.training, completed=content["step"], losses=losses, visible=True)
            if not self.console.is_terminal:
                self.console.print(f"step {content['step']}/{self.num_steps}  {losses}", highlight=False)
        else:
            self.console.print(held_out_line(content), highlight=False)


def held_out_line(line: dict[str, Any]) -> str:
    """Write held-out losses on one line: one value for each time t, the two halves apart."""
    parts = [f"held out at step {line['step']}:"]
    for half in ("appearance", "motion"):
        values = {k.partition("@")[2]: v for k, v in line.items() if k.startswith(f"heldout_{half}@")}
        if values:
            parts.append(f"{half} " + " ".join(f"t={t}: {v:.4f}" for t, v in values.items()))
    return "  ".join(parts)
