# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The action ~/chat: a door to the core's ChatService, which decides who runs, who waits and who is ended."""

from __future__ import annotations

from threading import Condition, Lock
from typing import Any

from rclpy.action import CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

from tinychat_core.errors import InvalidParameterError
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest, Refusal
from tinychat_core.serving.results import ChatResult, ErrorCode
from tinychat_ros.action_goal import ActionGoal
from tinychat_ros.action_server import ActionServer
from tinychat_ros.answer_publishers import AnswerPublishers, TOKEN_QOS
from tinychat_ros.arrivals import Arrivals
from tinychat_ros.client_watcher import ClientWatcher, LOOK_PERIOD
from tinychat_ros.distribution import publish_goal_status, result_timeout
from tinychat_ros.goal_check import check_goal
from tinychat_ros.goal_log import log_end
from tinychat_ros.image_sources import ImageTopics
from tinychat_ros.interfaces import Chat
from tinychat_ros.prompt_door import PromptDoor
from tinychat_ros.status import Status
from tinychat_ros.translation import id_message

# A thousand goals may come at once, and each client must be answered: with the default depth most never are.
SERVICE_QOS = QoSProfile(depth=2000)


class ChatServer:
    """
    Translates goals to requests, and their events to feedback and results; every callback returns at once.

    Goals are accepted from `open` to `close`. Goals and prompts are checked one by one, in the order of their arrival,
    in a thread of their own; a cancel does not wait for that. `service` is the loaded model, or None.
    """

    def __init__(self, node: Node, status: Status) -> None:
        """Create the interfaces on a node; all goals are rejected at first."""
        self.service: ChatService | None = None
        self._node = node
        self._status = status
        self._checked: tuple[ChatService, ChatRequest] | None = None
        self._present: set[bytes] = set()  # the followers when the last goal came
        self._goals: dict[bytes, ActionGoal] = {}  # those without a terminal state
        self._changed = Condition()  # guards the goals
        self._is_open = False
        self._showing = Lock()  # guards what is shown, and whether anything is
        group = MutuallyExclusiveCallbackGroup()
        self._publishers = AnswerPublishers(node)
        self.topics = ImageTopics(node)
        self._arrivals = Arrivals(node)
        self._server = ActionServer(
            node, Chat, '~/chat', self._unused, check=self._on_arrival, arrivals=self._arrivals, callback_group=group,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted, cancel_callback=self._on_cancel,
            result_timeout=result_timeout(),
            goal_service_qos_profile=SERVICE_QOS, result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS, feedback_pub_qos_profile=TOKEN_QOS)
        self._watcher: ClientWatcher[ActionGoal] = ClientWatcher()
        self._feedback_topic = node.resolve_topic_name('~/chat/_action/feedback')
        node.create_timer(LOOK_PERIOD, self._look_around, MutuallyExclusiveCallbackGroup(),
                          Clock(clock_type=ClockType.STEADY_TIME))
        self._prompts = PromptDoor(node, self, self._publishers, group, self._arrivals)

    @property
    def has_goals(self) -> bool:
        """Whether a goal of the action has not reached its terminal state."""
        return bool(self._goals)

    def open(self) -> None:
        """Serve."""
        assert self.service is not None
        with self._showing:
            self._is_open = True
        self.service.open()
        self.show()

    def close(self, why: str, finish_running: bool = False) -> None:
        """Reject new goals, end those that wait and those that run; return when all have ended."""
        with self._showing:
            self._is_open = False
        if self.service is not None:
            self.service.stop(why, finish_running)
        with self._changed:
            self._changed.wait_for(lambda: not self._goals)

    def end_running(self, why: str) -> None:
        """Ask the goals that run to end."""
        service = self.service
        if service is not None:
            service.end_running(why)

    def destroy(self) -> None:
        """Destroy the action; the clients of goals that have not ended would wait for ever."""
        self._arrivals.close()
        self._server.destroy()

    def show(self) -> None:
        """Tell who runs and how many wait, while the node serves."""
        with self._showing:
            if self._is_open and self.service is not None:
                self._status.serving([id_message(handle.id) for handle in self.service.running], self.service.waiting,
                                     self.service.backends)

    def check(self, goal: Chat.Goal, audience: str = '') -> tuple[ChatService, ChatRequest] | None:
        """Return who answers a goal, and its request; None for a goal that is rejected, which ~/state tells."""
        try:
            service = self.service
            if service is None or not self._is_open:
                reason = '[inactive] the node is not active'
            else:
                request = check_goal(goal, self._value, service.engine.context_length, self.topics, audience)
                service.check(request)
                return service, request
        except InvalidParameterError as error:
            reason = f'[invalid goal] {error}'
        except Refusal as refusal:
            reason = str(refusal)
        except Exception as error:  # it would end the executor's spin
            reason = f'[internal error] {error!r}'
        self._status.rejected(reason)
        return None

    # --- callbacks of the action, in the thread of arrivals -------------------------------------------------

    def _on_arrival(self, goal: Chat.Goal) -> None:
        self._checked = self.check(goal)
        self._present = self._followers()  # a client may go as soon as it is answered

    def _on_goal(self, _: Chat.Goal) -> GoalResponse:
        return GoalResponse.REJECT if self._checked is None else GoalResponse.ACCEPT

    def _on_accepted(self, handle: Any) -> None:
        assert self._checked is not None
        (service, request), self._checked = self._checked, None
        goal = ActionGoal(handle, request.conversation_id, self._publishers, self._on_ended)
        with self._changed:
            self._goals[goal.id.bytes] = goal
        goal.chat = service.submit(request, goal.on_event, goal.id, is_accepted=True)
        if self._value('on_client_lost') == 'cancel':
            self._watcher.watch(goal, self._present)
            if goal.id.bytes not in self._goals:  # it has ended already
                self._watcher.forget(goal)

    # --- callbacks of the executor --------------------------------------------------------------------------

    def _on_cancel(self, handle: Any) -> CancelResponse:
        goal_id = bytes(handle.goal_id.uuid)
        goal = self._goals.get(goal_id)
        if goal is None or goal.chat is None:
            with self._server.accepting:  # its client knows that it is accepted before we do
                goal = self._goals.get(goal_id)
        is_canceled = goal is not None and goal.chat is not None and goal.chat.cancel()
        return CancelResponse.ACCEPT if is_canceled else CancelResponse.REJECT  # it has ended, or is ending

    def _look_around(self) -> None:
        if self._goals:
            # rclpy's client drops a status that comes before the answer to its goal, and then `ros2 action send_goal`
            # does not know that there is anything to cancel. Told again, it does.
            publish_goal_status(self._server)
        if self._watcher:
            for goal in self._watcher.look(self._followers()):
                self._node.get_logger().warning('a goal was ended because its client has gone')
                if goal.chat is not None:
                    goal.chat.abort(ErrorCode.CLIENT_LOST, 'its client has gone')

    def _followers(self) -> set[bytes]:
        """Return the clients: each subscribes to the feedback."""
        subscriptions = self._node.get_subscriptions_info_by_topic(self._feedback_topic)
        return {bytes(subscription.endpoint_gid) for subscription in subscriptions}

    def _on_ended(self, goal: ActionGoal, result: ChatResult) -> None:
        log_end(self._node.get_logger(), f'goal {goal.id}', result, goal.accepted_at)
        with self._changed:
            del self._goals[goal.id.bytes]
            self._changed.notify_all()
        self._watcher.forget(goal)

    @staticmethod
    def _unused(handle: Any) -> Chat.Result:
        """Stand for the action's callback, which rclpy asks for: each goal is executed with one of its own."""
        raise AssertionError('a goal was executed without its own callback')

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value
