"""The results of a bench as tables, plots and one page."""
