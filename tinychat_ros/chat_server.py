# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The action ~/chat and the subscription ~/prompt: who is taken, who runs, who ends."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from time import monotonic
from typing import Any
from uuid import uuid4

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Empty, String
from unique_identifier_msgs.msg import UUID

from tinychat_ros.accepted_goal import AcceptedGoal, CLIENT
from tinychat_ros.answering import Answering
from tinychat_ros.conversations import IN_USE
from tinychat_ros.distribution import result_timeout
from tinychat_ros.goal_check import check_goal, Rejection, Request
from tinychat_ros.goal_queue import GoalQueue
from tinychat_ros.interfaces import Chat
from tinychat_ros.listeners import Listeners
from tinychat_ros.outlets import Outlets, TOKEN_QOS
from tinychat_ros.prompt_topic import PromptTopic
from tinychat_ros.status import Status
from tinychat_ros.time_limits import TimeLimits

# A thousand goals may come at once, and each client must be answered: with the default depth most never are.
SERVICE_QOS = QoSProfile(depth=2000)
LOOK_PERIOD = 0.5  # [s]; ROS itself misses a client that was killed after 20 s


class ChatServer:
    """
    At most one goal runs, in an executor thread of its own; every callback returns at once.

    Goals are accepted from `open` to `close`. Goals, prompts and cancel requests are looked at one by one, so
    that none meets another half-way.
    """

    def __init__(self, node: Node, status: Status) -> None:
        """Create the interfaces on a node; all goals are rejected at first."""
        self._node = node
        self._status = status
        self._queue: GoalQueue[AcceptedGoal] = GoalQueue()
        self._answering: Answering | None = None
        self._is_open = False
        self._alive = 0  # goals that were accepted and have not ended
        self._changed = Condition()  # guards the two above
        self._limits: TimeLimits[AcceptedGoal] = TimeLimits(self._on_time_limit)
        self._request: Request | None = None
        group = MutuallyExclusiveCallbackGroup()
        self._outlets = Outlets(node)
        self._server = ActionServer(
            node, Chat, '~/chat', self._unused, callback_group=group, goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted, cancel_callback=self._on_cancel,
            result_timeout=result_timeout(),
            goal_service_qos_profile=SERVICE_QOS, result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS, feedback_pub_qos_profile=TOKEN_QOS)
        self._listeners: Listeners[AcceptedGoal] = Listeners()
        self._feedback_topic = node.resolve_topic_name('~/chat/_action/feedback')
        node.create_timer(LOOK_PERIOD, self._look_around, MutuallyExclusiveCallbackGroup(),
                          Clock(clock_type=ClockType.STEADY_TIME))
        self._topics = [PromptTopic(node, name, kind, callback, group) for name, kind, callback in (
            ('~/prompt', String, self._on_prompt), ('~/prompt/stop', Empty, self._on_stop),
            ('~/prompt/reset', Empty, self._on_reset))]
        self._to_reset = ''  # the conversation of ~/prompt that is to be forgotten as soon as no goal uses it

    def open(self, answering: Answering) -> None:
        """Serve."""
        with self._changed:
            self._answering = answering
            self._is_open = True
        self._reset_prompts()
        self._show()

    def close(self, why: str, finish_running: bool = False) -> None:
        """Reject new goals, end those that wait and the one that runs; return when all have ended."""
        with self._changed:
            self._is_open = False
        for goal in self._queue.drain():
            self._end_waiting(goal, Chat.Result.DEACTIVATED, why)
        if not finish_running:
            self.end_running(why)
        with self._changed:
            self._changed.wait_for(lambda: self._alive == 0)
            self._answering = None  # a cleanup that follows gives the memory back

    def end_running(self, why: str) -> None:
        """Ask the goal that runs to end."""
        running = self._queue.running
        if running is not None:
            running.end(Chat.Result.DEACTIVATED, why)

    def destroy(self) -> None:
        """Destroy the action; the clients of goals that have not ended would wait for ever."""
        self._limits.close()
        self._server.destroy()

    # --- callbacks of the executor --------------------------------------------------------------------------

    def _on_goal(self, goal: Chat.Goal) -> GoalResponse:
        try:
            # What is accepted meets _on_accepted next.
            self._request = self._check(goal)
        except Rejection as rejection:
            self._status.rejected(str(rejection))
            return GoalResponse.REJECT
        except Exception as error:  # it would end the executor's spin
            self._status.rejected(f'[internal error] {error!r}')
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, handle: Any) -> None:
        assert self._request is not None
        self._accept(AcceptedGoal(self._request, handle.goal_id, handle, self._outlets.emit))

    def _on_prompt(self, message: String) -> None:
        goal = Chat.Goal(prompt=message.data, conversation_id=self._value('prompt_conversation_id'))
        if self._on_goal(goal) is GoalResponse.ACCEPT:
            assert self._request is not None
            self._accept(AcceptedGoal(self._request, UUID(uuid=list(uuid4().bytes)), None, self._outlets.emit))

    def _on_stop(self, _: Empty) -> None:
        while (waiting := self._queue.take(lambda goal: goal.handle is None)) is not None:
            self._end_waiting(waiting, CLIENT)
        running = self._queue.running
        if running is not None and running.handle is None:
            running.end(CLIENT)
        self._show()

    def _on_reset(self, message: Empty) -> None:
        self._on_stop(message)
        self._to_reset = self._value('prompt_conversation_id')
        if not self._to_reset:
            self._node.get_logger().warning('~/prompt/reset: prompts have no conversation; prompt_conversation_id '
                                            'gives them one')
        self._reset_prompts()

    def _on_cancel(self, handle: Any) -> CancelResponse:
        running = self._queue.running
        if running is not None and running.handle is handle:
            running.end(CLIENT)
            return CancelResponse.ACCEPT
        waiting = self._queue.take(lambda goal: goal.handle is handle)
        if waiting is None:
            return CancelResponse.REJECT  # it is ending
        self._end_waiting(waiting, CLIENT)
        self._show()
        return CancelResponse.ACCEPT

    def _on_time_limit(self, goal: AcceptedGoal) -> None:
        self._end(goal, Chat.Result.TIME_LIMIT, f'the time limit of {goal.request.time_limit:g} s is over')

    def _look_around(self) -> None:
        if self._alive:
            # rclpy's client drops a status that comes before the answer to its goal, and then `ros2 action send_goal`
            # does not know that there is anything to cancel. Told again, it does.
            with self._server._lock:
                self._server._handle.publish_status()
        self._look_for_clients()

    def _look_for_clients(self) -> None:
        if self._listeners:
            present = self._node.get_subscriptions_info_by_topic(self._feedback_topic)
            for goal in self._listeners.look({bytes(listener.endpoint_gid) for listener in present}):
                self._node.get_logger().warning('a goal is ended: its client is gone')
                self._end(goal, Chat.Result.CLIENT_LOST, 'its client is gone')

    # --- who is taken, who runs, who ends -------------------------------------------------------------------

    def _check(self, goal: Chat.Goal) -> Request:
        if not self._is_open or self._answering is None:
            raise Rejection('[inactive] the node is not active')
        request = check_goal(goal, self._value, self._answering.engine.context_length)
        refusal = self._queue.refusal(request.priority, self._value('busy_policy'),
                                      self._value('queue_depth'))
        if refusal:
            raise Rejection(refusal)
        return request

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value

    @staticmethod
    def _unused(handle: Any) -> Chat.Result:
        """Stand for the action's callback, which rclpy asks for: each goal is executed with one of its own."""
        raise AssertionError('a goal was executed without its own callback')

    def _accept(self, goal: AcceptedGoal) -> None:
        # Watched before anybody can run it, and so end it, which ends the watching.
        if goal.request.time_limit > 0:
            self._limits.watch(goal, goal.request.time_limit)
        watches_clients = goal.handle is not None and self._value('on_client_lost') == 'cancel'
        if watches_clients:
            self._listeners.watch(goal)
        with self._changed:
            self._alive += 1
            is_open = self._is_open
            if is_open:
                preempted, running = self._queue.push(goal, goal.request.priority, self._value('busy_policy'))
        if not is_open:
            self._end_waiting(goal, Chat.Result.DEACTIVATED, 'the node is not active any more')
            return
        for other in preempted:
            self._end_waiting(other, Chat.Result.PREEMPTED, 'a newer goal took its place')
        if running is not None:  # it may have ended by itself meanwhile
            running.end(Chat.Result.PREEMPTED, 'a newer goal took its place')
        if watches_clients:
            self._look_for_clients()
        ahead = self._queue.ahead(goal)
        if goal.handle is not None and ahead:
            goal.handle.publish_feedback(Chat.Feedback(stage=Chat.Feedback.QUEUED, goals_ahead=ahead))
        self._start_next()

    def _start_next(self) -> None:
        goal = self._queue.start()
        if goal is not None:
            self._execute(goal, self._run)
        self._show()

    def _run(self, goal: AcceptedGoal) -> Chat.Result:
        assert self._answering is not None
        try:
            goal.show_prefill(0.0)
            ending = self._answering.answer(goal)
            self._reset_prompts()
            if ending.error_code == Chat.Result.BACKEND_FAILED:
                self._node.get_logger().error(ending.message)
            goal.finish(ending)
        finally:
            self._queue.finish(goal)
            self._start_next()
            self._forget(goal)
        return goal.result

    def _reset_prompts(self) -> None:
        """Forget the conversation of ~/prompt where that was asked for; later, where a goal of it runs."""
        answering = self._answering
        if answering is not None and self._to_reset and answering.conversations.reset(self._to_reset) != IN_USE:
            self._to_reset = ''

    def _end(self, goal: AcceptedGoal, reason: int, message: str) -> None:
        """End a goal that runs or waits."""
        if self._queue.take(lambda waiting: waiting is goal) is None:
            goal.end(reason, message)
        else:
            self._end_waiting(goal, reason, message)
            self._show()

    def _end_waiting(self, goal: AcceptedGoal, reason: int, message: str = '') -> None:
        """End a goal that is not in the queue; only one that executes can reach a terminal state."""
        goal.end(reason, message)
        self._execute(goal, self._finish_early)

    def _finish_early(self, goal: AcceptedGoal) -> Chat.Result:
        goal.result.queue_time = monotonic() - goal.accepted_at
        try:
            goal.finish(goal.early_ending)
        finally:
            self._forget(goal)
        return goal.result

    def _execute(self, goal: AcceptedGoal, callback: Callable[[AcceptedGoal], Chat.Result]) -> None:
        """Let an executor thread call callback(goal); what it returns is the action's result."""
        if goal.handle is None:
            assert self._node.executor is not None
            self._node.executor.create_task(callback, goal)
            return
        try:
            goal.handle.execute(lambda _: callback(goal))
        except RuntimeError:  # it has been canceled within the call, and is to be executed none the less
            goal.handle.execute(lambda _: callback(goal))

    def _forget(self, goal: AcceptedGoal) -> None:
        self._node.get_logger().info(goal.summary())
        self._limits.forget(goal)
        self._listeners.forget(goal)
        with self._changed:
            self._alive -= 1
            self._changed.notify_all()

    # --- what the world hears -------------------------------------------------------------------------------

    def _show(self) -> None:
        with self._changed:
            if self._is_open:
                running = self._queue.running
                self._status.serving([running.goal_id] if running else [], len(self._queue))
