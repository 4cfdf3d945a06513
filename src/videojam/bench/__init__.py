"""The bench: suites of prompts, clips of many models, scores of many judges, one report."""
