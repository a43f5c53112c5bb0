"""Runs a node that has something to do at a fixed rate: single-threaded, by the monotonic clock, until told to stop."""

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from envs.ros import settle_middleware

log = logging.getLogger(__name__)

_LATE = 5.0
_FAILURES = 3
_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def ros(*, urgent: bool = False) -> Iterator[None]:
    """ROS for a process that ends itself: signals stay ours, so that a last message still goes out after SIGTERM.

    SIGINT and SIGTERM wait from here on until there is a `Stop`. Nodes are made before it: the middleware's threads
    inherit that these signals do not reach them, else one might still be handling them while the interpreter ends.

    Where it is `urgent` we ask for the processor before others, and so do the threads of the middleware, which inherit
    it: late targets are what a robot would feel.
    """
    if urgent:
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s (%(name)s:%(lineno)d)", level=logging.INFO)
    settle_middleware()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        # A launch and its terminal may both interrupt us; the second must not fall into the interpreter's end.
        for number in _STOPPING:
            signal.signal(number, signal.SIG_IGN)
        # It would take off handlers that it never put on, and for a moment a signal would end us by default.
        rclpy.try_shutdown(uninstall_handlers=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Stop:
    """Set by SIGINT and SIGTERM, also by one that has waited since `ros` began."""

    def __init__(self) -> None:
        self.asked = False
        for number in _STOPPING:
            signal.signal(number, self._ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _ask(self, *_: object) -> None:
        self.asked = True


def run(node: Node, tick: Callable[[], None], period_s: float, stop: Stop) -> int:
    """Answer services, and `tick` at each deadline, until the process is told to stop.

    A tick that was missed is not made up for. One that raises is logged and counts; after three in a row the node ends.

    Args:
        node: Whose services are answered.
        tick: What is to be done.
        period_s: How often.
        stop: Asked after every tick.

    Returns:
        Exit code.
    """
    gc.collect()
    gc.freeze()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        return _tick_by_tick(executor, tick, period_s, stop)
    finally:
        # Left to the interpreter's end, its parts would outlive the middleware that they are of.
        executor.shutdown()


def _tick_by_tick(executor: SingleThreadedExecutor, tick: Callable[[], None], period_s: float, stop: Stop) -> int:
    failures, due_s = 0, time.monotonic() + period_s
    while not stop.asked:
        while (left_s := due_s - time.monotonic()) > 0 and not stop.asked:
            executor.spin_once(timeout_sec=left_s)
        try:
            tick()
            failures = 0
        except Exception:
            # Whatever it was, the robot must not be left to its last target for the want of one tick.
            failures += 1
            log.exception("a tick failed: %d in a row", failures)
            if failures == _FAILURES:
                return 1
        now_s = time.monotonic()
        due_s = now_s + period_s if now_s > due_s + _LATE * period_s else due_s + period_s
    return 0
