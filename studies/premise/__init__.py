"""The study of where VideoJAM pays: a pixel-grid world in which motion hides from the denoising loss."""
