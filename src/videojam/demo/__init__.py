"""The demo: base, control and VideoJAM on the same prompts and noise, as a page and a table."""

from videojam.demo.result import ARMS, DemoClip, DemoResult, Tally
from videojam.demo.run import run_demo
from videojam.demo.table import print_result

__all__ = ["ARMS", "DemoClip", "DemoResult", "Tally", "print_result", "run_demo"]
