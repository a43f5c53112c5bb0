"""The actor as a lifecycle node: nothing moves before it is active, and the robot holds when it is no more.

The control loop itself runs in a process of its own, `python -m actor`, so that no callback of this node can delay it;
activating starts it, deactivating ends it in order. Parameters: see actor_parameters.
"""

import sys
from pathlib import Path

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from actor.config import ActorConfig
from envs.ros.ticking import Stop, ros, run
from handrail.local import Rooms, write_json
from handrail.settings import plain
from handrail_nodes import actor_parameters, parameters
from wire.errors import UserError, run_main

PERIOD_S = 0.1
OK, FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class ActorNode(LifecycleNode):
    """Parameters in, a process out."""

    def __init__(self) -> None:
        super().__init__("actor", **parameters.GIVEN)
        actor_parameters.declare(self)
        self._config: ActorConfig | None = None
        self._rooms: Rooms | None = None
        self.code: int | None = None
        """With which the actor ended by itself; None: it did not."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read and judge the parameters."""
        try:
            self._config = actor_parameters.read(self, sys.argv)
        except (ValueError, UserError) as error:
            self.get_logger().error(str(error))
            return FAILED
        return OK

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the actor; it waits for the robot, then for the learner, then drives."""
        assert self._config is not None
        outbox = Path(self._config.outbox)
        file = write_json(outbox.with_name(f"{outbox.stem}.actor_config.json"), plain(self._config))
        self._rooms, self.code = Rooms(), None
        self._rooms.start("actor", ["actor", "act", str(file)])
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the actor: the robot holds, and what was recorded is on disk."""
        self.end()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As from `deactivate`."""
        self.end()
        return OK

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Whatever failed, nothing moves."""
        self.end()
        return OK

    def end(self) -> None:
        """End the actor's process, where there is one."""
        if self._rooms is not None:
            self._rooms.stop()
            self._rooms = None

    def look(self, stop: Stop) -> None:
        """End with the actor where that ended by itself: whoever launched us decides what comes next."""
        if self._rooms is not None and (code := self._rooms.finish("actor", timeout_s=0.0)) is not None:
            self.code, stop.asked = code, True
            self.get_logger().info(f"the actor ended with code {code}")


def drive() -> int:
    """Serve the lifecycle until SIGINT, SIGTERM or the actor's end."""
    with ros():
        node, stop = ActorNode(), Stop()
        try:
            run(node, lambda: node.look(stop), PERIOD_S, stop)
        finally:
            node.end()
        return node.code or 0


def main() -> None:
    """`ros2 run handrail_nodes actor_node`."""
    sys.exit(run_main(drive))


if __name__ == "__main__":
    main()
