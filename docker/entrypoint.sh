#!/bin/bash
# ROS, then our packages, then the command itself in this process's place: it hears the signals of `docker stop`.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /opt/handrail/install/setup.bash
exec "$@"
