"""Training: the objective of Eq. 6, the loop on accelerate, checkpoints, and the export of a stock folder."""
