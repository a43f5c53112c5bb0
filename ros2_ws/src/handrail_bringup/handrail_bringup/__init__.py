"""What the launch files are made of: arguments and nodes."""
