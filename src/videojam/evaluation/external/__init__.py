"""Judges that run elsewhere: clips written as they read them, and their results read back."""
