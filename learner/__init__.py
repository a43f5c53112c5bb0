"""Runs beside the GPU: archive, replay and the learning loop."""
