"""MuJoCo workcells and their tasks; scripted experts and correctors live beside their task."""

from envs.graphics import settle_backend

# MuJoCo picks its GL back end, and fails on a missing library, while it is imported: settle that before any import.
settle_backend()
