"""VideoJAM: a motion prior for pretrained text-to-video diffusion transformers (arXiv 2502.02492)."""

__version__ = "0.1.0"
