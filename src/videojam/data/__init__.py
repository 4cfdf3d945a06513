"""Clips and their latents: sources, captions, and the cache that training reads."""
