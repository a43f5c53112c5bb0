"""The workcell over ROS 2 topics."""
