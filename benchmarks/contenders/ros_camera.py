"""A camera of 640 x 480 that shows noise: `ros_camera.py <name> <rate_hz>`. One process a camera, as on a robot."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from envs.ros.images import fill
from envs.ros.ticking import Stop, ros, run


def main() -> int:
    """Publish until told to stop, then say how many."""
    name, rate_hz = sys.argv[1], float(sys.argv[2])
    pictures = np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), np.uint8)
    with ros():
        node, stop = Node(f"camera_{name}"), Stop()
        publisher = node.create_publisher(Image, f"camera/{name}/color/image_raw", QoSProfile(depth=1))
        message, sent = Image(), 0
        message.header.frame_id = f"{name}_color_optical_frame"

        def publish() -> None:
            nonlocal sent
            fill(message, pictures[sent % len(pictures)], "rgb8")
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
            sent += 1

        return run(node, publish, 1.0 / rate_hz, stop)


if __name__ == "__main__":
    sys.exit(main())
