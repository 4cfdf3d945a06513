"""The clips of a bench: arms, suites, samplers, imports."""
