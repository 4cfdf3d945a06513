"""Eq. 6 and what surrounds it: its config, draws, the loss, and the denoiser that is asked."""
