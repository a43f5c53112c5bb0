"""Runs beside the robot: the control loop, the human's hand, and the outbox that loses nothing."""
