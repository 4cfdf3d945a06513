"""Layouts of clip folders: one short reader for each, all into one listing."""
