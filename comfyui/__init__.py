"""VideoJAM in ComfyUI: joint models of appearance and motion, guided by their own motion.

Nothing of ComfyUI is imported before a node runs, so that the pack's arithmetic is tested without it.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
