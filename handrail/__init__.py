"""The front door: reads what the user wants and starts the rooms as processes."""
