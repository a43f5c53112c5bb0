"""Rewards that nobody writes by hand: models that judge frames, and the process that serves them. Torch lives here."""
