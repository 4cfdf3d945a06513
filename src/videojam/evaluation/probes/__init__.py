"""The paper's diagnostics: does a model notice the order of frames (Fig. 3), and when is motion fixed (Fig. 8)."""
