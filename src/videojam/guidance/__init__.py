"""Inner-Guidance (Eq. 8) and its relatives, and the hook that puts it inside a stock pipeline."""
