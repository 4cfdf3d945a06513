"""The judges by name, and who scores a suite where none is named; nothing is imported for it."""

from __future__ import annotations

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
