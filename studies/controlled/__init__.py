"""The controlled study of docs/study.md: `python -m studies.controlled.run`, or `make study`."""
