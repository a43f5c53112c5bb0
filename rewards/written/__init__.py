"""Rewards that somebody wrote as a text, a language model or a person: checked, run apart, tested before they count."""
