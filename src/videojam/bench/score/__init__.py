"""The scores of a bench: its judges, and scores of judges that ran elsewhere."""
