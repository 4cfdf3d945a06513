"""The controlled study of docs/when-the-premise-fails.md.

`python -m studies.controlled.run`, or `make study-premise-fails`.
"""
