"""The words of a motion code, for configs and for flags; nothing is imported for them."""

from typing import Literal

Estimator = Literal["raft", "dis", "exact"]
"""What measures flow: RAFT, OpenCV's DIS, or the source's own exact flow."""
Style = Literal["value", "saturation"]
"""Rows of `colours.STYLES`."""
Curve = Literal["linear", "sqrt", "log"]
"""Rows of `colours.CURVES`."""
Padding = Literal["first", "last"]
"""Which flow is there twice, so that T-1 flows fill T frames."""
Noise = Literal["same", "own"]
"""Noise level of d: that of x, or one of its own."""
