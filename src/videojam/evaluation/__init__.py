"""Measures of generated clips, and intervals of what they show."""
