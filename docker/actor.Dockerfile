# The robot's machine: guard, cameras, recorder, actor; with EXTRAS the simulated cell too. From the checkout's root:
#   docker build -f docker/actor.Dockerfile --build-arg ROS_DISTRO=kilted -t handrail-actor .
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base

# control_msgs: grippers that are actions. libusb: RealSense cameras. OSMesa: the simulated ones.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libosmesa6 libusb-1.0-0 python3-venv "ros-${ROS_DISTRO}-control-msgs" \
    && rm -rf /var/lib/apt/lists/*

# Ubuntu's image has a user 1000 of its own; keys are read by their owner alone, so ours shall be yours.
ARG UID=1000
RUN if id ubuntu > /dev/null 2>&1; then userdel --remove ubuntu; fi \
    && useradd --no-log-init --create-home --uid "${UID}" --groups video,plugdev,dialout,input handrail \
    && install -d -o handrail /data /data/runs /opt/handrail

# rclpy and the messages are the system's; everything else, numpy 2 too, is the environment's and goes first.
WORKDIR /opt/handrail
COPY . src
ARG EXTRAS=actor,cameras,cell
RUN python3 -m venv --system-site-packages venv \
    && venv/bin/pip install --no-cache-dir -c src/constraints.txt "./src[${EXTRAS}]" \
    && ln -s /opt/handrail/src/docker/entrypoint.sh /entrypoint.sh
ENV PATH=/opt/handrail/venv/bin:${PATH}
# By the environment's Python, so that what `ros2 run` and `ros2 launch` start has its packages.
RUN . "/opt/ros/${ROS_DISTRO}/setup.sh" && python3 -m colcon build --base-paths src/ros2_ws/src

ENV HANDRAIL_KEYS=/keys
USER ${UID}
WORKDIR /data
ENTRYPOINT ["/entrypoint.sh"]
CMD ["handrail", "doctor"]
