"""What made the published figures and the shipped pipelines: run from the root of a checkout, `python -m studies.…`."""
