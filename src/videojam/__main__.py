"""`python -m videojam`: the command line."""

from videojam.cli import run

run()
