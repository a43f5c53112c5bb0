"""The front door: one command that checks, configures and starts the rooms as processes."""
