"""Settings of the rewards room; nothing heavy is imported here, because the command line reads this file too."""
