"""Handrail's rooms as ROS 2 nodes: thin, one concern to a process."""
