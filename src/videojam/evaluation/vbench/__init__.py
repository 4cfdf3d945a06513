"""VBench's six dimensions that the paper reports: own implementation, official package, result files."""
