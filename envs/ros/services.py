"""Calls of services from a node that no executor spins: each is waited for, with a deadline and a sentence.

What is called may be called twice: an answer that does not come is asked for again.
"""

from typing import Any

from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from envs.workcell import NotReadyError

FOUND_S = 10.0
ANSWER_S = 2.5
_TRIES = 4


class ServiceError(NotReadyError):
    """A service is missing, does not answer, or refuses."""


class Services:
    """Trigger services and parameters of other nodes."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clients: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)

    def trigger(self, name: str) -> str:
        """Call a std_srvs/Trigger; its message. Raises ServiceError where it is missing or refuses."""
        answer = self.call(Trigger, name, Trigger.Request())
        if not answer.success:
            raise ServiceError(f"{self._node.resolve_service_name(name)} refused: {answer.message}")
        return answer.message

    def set_text(self, node: str, parameter: str, text: str) -> None:
        """Set a text parameter of another node; raises ServiceError where it is missing or refuses."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[ParameterMessage(name=parameter, value=value)])
        result = self.call(SetParameters, f"{node}/set_parameters", request).results[0]
        if not result.successful:
            raise ServiceError(f"{node} refused its parameter {parameter}: {result.reason}")

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service; its answer. Raises ServiceError where it is missing or does not answer."""
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, name)
        client, full = self._clients[name], self._node.resolve_service_name(name)
        if not client.wait_for_service(FOUND_S):
            raise ServiceError(f"nobody offers the service {full}; start the node that does, or look at its log")
        for _ in range(_TRIES - 1):
            try:
                return self.result(client.call_async(request), full)
            except ServiceError:
                # A node that was killed counts as there until its lease ends; its successor has not heard the call.
                continue
        return self.result(client.call_async(request), full)

    def result(self, future: Any, whose: str) -> Any:
        """Wait for an answer; raises ServiceError where it does not come."""
        self._executor.spin_until_future_complete(future, ANSWER_S)
        if not future.done():
            future.cancel()
            raise ServiceError(f"{whose} did not answer within {ANSWER_S:g} s; look at the log of the node behind it")
        return future.result()
