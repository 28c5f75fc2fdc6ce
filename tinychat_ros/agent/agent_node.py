# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The agent node: the action ~/task, carried out by a model with the tools of a file."""

from __future__ import annotations

from collections.abc import Mapping
import json
import sys
from threading import Condition
from typing import Any
from uuid import UUID

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from tinychat_core.errors import one_line
from tinychat_core.serving.results import ErrorCode
from tinychat_interfaces.msg import TaskRecord
from tinychat_ros import parameters
from tinychat_ros.action_goal import await_cancel
from tinychat_ros.agent.action_caller import ActionCaller
from tinychat_ros.agent.caller import Caller, ServiceCaller
from tinychat_ros.agent.chat_model import ChatModel
from tinychat_ros.agent.confirmation import Confirmation
from tinychat_ros.agent.guarded import Guarded
from tinychat_ros.agent.memory import Memory
from tinychat_ros.agent.parameters import PARAMETERS
from tinychat_ros.agent.task_run import dialogue_of, Model, TaskRun
from tinychat_ros.agent.tool import read_tools, Tool
from tinychat_ros.agent.tool_runner import ToolRunner
from tinychat_ros.agent.topic_callers import Publisher, Reader
from tinychat_ros.agent.wakeup import TaskEnded, Wakeup
from tinychat_ros.client_watcher import ClientWatcher, LOOK_PERIOD
from tinychat_ros.distribution import result_timeout
from tinychat_ros.guard import guard_services
from tinychat_ros.interfaces import Message, Task, TaskStep
from tinychat_ros.process import run

MOST_INSTRUCTION = 20_000  # characters
MOST_CONVERSATION_ID = 256
FEEDBACK_QOS = QoSProfile(depth=1000)
AUDIT_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LOOK_AFTER = 5.0  # [s] from the start, until when the tools' servers should be there
LONGEST_END = 3.0  # [s] for a task to end when the node does
STATUS = {TaskStep.RUNNING: 'begins', TaskStep.SUCCEEDED: 'succeeded', TaskStep.FAILED: 'failed',
          TaskStep.REFUSED: 'refused', TaskStep.WAITING: 'waits for a confirmation'}


class AgentNode(Node):
    """
    Serves ~/task, one task at a time; ~/confirm; and publishes ~/audit.

    Needs a MultiThreadedExecutor of at least two threads: one runs the task.
    """

    def __init__(self, **node_options: Any) -> None:
        """
        Create the node and everything that its tools need.

        Raises TinyChatError for what is wrong in the tools file, rclpy's ParameterException for a bad start value.
        """
        super().__init__('tinychat_agent', **node_options)
        parameters.declare(self, lambda: False, PARAMETERS)
        tools, examples = read_tools(self._value('tools_file'))
        self._opening = [Message(role=Message.SYSTEM, content=self._value('system_prompt')), *dialogue_of(examples)]
        self._guarded = Guarded()
        self._callers: dict[str, Caller] = {name: self._caller(tool) for name, tool in tools.items()}
        self._tools = json.dumps([tool.definition() for tool in tools.values()])
        self._memory = Memory()
        self._model: Model = ChatModel(self, self._value('chat'), self._value('max_new_tokens'),
                                       self._value('temperature'))
        confirmation = Confirmation(self, self._value('confirm_time_limit'))
        self._runner = ToolRunner(self._callers, confirmation, self._value('max_identical_calls'),
                                  self._value('dry_run'), lambda: self.get_clock().now().to_msg())
        self._audit = self.create_publisher(TaskRecord, '~/audit', AUDIT_QOS)
        self._changed = Condition()  # guards the running task
        self._running: Wakeup | None = None
        self._is_over = False
        group = MutuallyExclusiveCallbackGroup()
        self._server = ActionServer(
            self, Task, '~/task', self._execute, callback_group=group, goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted, cancel_callback=self._on_cancel,
            result_timeout=result_timeout(), feedback_pub_qos_profile=FEEDBACK_QOS)
        self._look = self.create_timer(LOOK_AFTER, self._on_look, MutuallyExclusiveCallbackGroup(),
                                       Clock(clock_type=ClockType.STEADY_TIME))
        self._were_missing = False
        self._watcher: ClientWatcher[Wakeup] = ClientWatcher()
        self._present: set[bytes] = set()  # the followers when the last goal came
        self._feedback_topic = self.resolve_topic_name('~/task/_action/feedback')
        self.create_timer(LOOK_PERIOD, self._look_for_clients, MutuallyExclusiveCallbackGroup(),
                          Clock(clock_type=ClockType.STEADY_TIME))
        parameters.warn_of_unknown(self, PARAMETERS)
        guard_services(self)
        if not self._value('dry_run') and not self._guarded.start():
            self.get_logger().error('the stop guard does not start; tools that move the robot fail until it does')
        self.get_logger().info(f"ready, {'dry run, ' if self._value('dry_run') else ''}{len(tools)} tools: "
                               f"{', '.join(tools)}")

    def end(self) -> None:
        """End the running task, which stops the robot. For a thread that is not the executor's."""
        with self._changed:
            self._is_over = True
            if self._running is not None:
                self._running.end(TaskEnded(Task.Result.ABORTED, ErrorCode.DEACTIVATED, 'the node is shutting down'))
            self._changed.wait_for(lambda: self._running is None, LONGEST_END)
        self._guarded.close()

    def destroy_node(self) -> None:
        """Destroy the action, and then all else."""
        if hasattr(self, '_server'):  # rclpy destroys a node, too, whose start values were refused
            self._server.destroy()
        if hasattr(self, '_guarded'):
            self._guarded.close()
        super().destroy_node()

    # --- callbacks of the executor --------------------------------------------------------------------------

    def _on_goal(self, goal: Task.Goal) -> GoalResponse:
        reason = self._refusal(goal)
        if reason:
            self.get_logger().warning(f'a task was rejected: {reason}')
        self._present = self._followers()  # a client may go as soon as it is answered
        return GoalResponse.REJECT if reason else GoalResponse.ACCEPT

    def _refusal(self, goal: Task.Goal) -> str:
        if self._is_over:
            return 'the node is shutting down'
        if self._running is not None:
            return 'another task is running'
        if not goal.instruction.strip():
            return 'instruction is empty'
        if len(goal.instruction) > MOST_INSTRUCTION:
            return f'instruction has {len(goal.instruction)} characters, and may have {MOST_INSTRUCTION}'
        if len(goal.conversation_id) > MOST_CONVERSATION_ID:
            return f'conversation_id has {len(goal.conversation_id)} characters, and may have {MOST_CONVERSATION_ID}'
        if goal.time_limit.sec < 0:
            return 'time_limit is negative'
        return ''

    def _on_accepted(self, handle: Any) -> None:
        given = handle.request.time_limit
        wakeup = Wakeup(given.sec + given.nanosec * 1e-9 or self._value('time_limit'))
        with self._changed:
            self._running = wakeup
        if self._value('on_client_lost') == 'cancel':
            self._watcher.watch(wakeup, self._present)
        handle.execute()

    def _on_cancel(self, handle: Any) -> CancelResponse:
        running = self._running
        if running is None:
            return CancelResponse.REJECT
        running.end(TaskEnded(Task.Result.CANCELED))
        return CancelResponse.ACCEPT

    def _execute(self, handle: Any) -> Task.Result:
        goal, wakeup = handle.request, self._running
        assert wakeup is not None
        task_id = UUID(bytes=bytes(handle.goal_id.uuid))
        messages = [Message(role=Message.USER, content=goal.instruction)]

        def on_step(step: TaskStep) -> None:
            self._record(handle.goal_id, task_id, step)
            handle.publish_feedback(Task.Feedback(steps=[step]))

        def on_text(delta: str) -> None:
            if delta and self._running is wakeup:  # feedback of the chat node may arrive after its result
                handle.publish_feedback(Task.Feedback(delta=delta))

        try:
            result = TaskRun(self._model, self._runner, self._tools, wakeup, on_step, on_text).run(
                self._opening, self._memory.tasks(goal.conversation_id), messages,
                goal.max_steps or self._value('max_steps'))
            if result.finish_reason in (Task.Result.DONE, Task.Result.REFUSED):
                self._memory.add(goal.conversation_id, messages)
        except Exception as error:
            result = Task.Result(finish_reason=Task.Result.ABORTED, error_code=int(ErrorCode.UNKNOWN),
                                 error_msg=one_line(f'internal error: {error!r}'))
        self._finish(handle, task_id, result)
        return result

    def _finish(self, handle: Any, task_id: UUID, result: Task.Result) -> None:
        """Give a task its one terminal state."""
        try:
            self.get_logger().info(f'task {task_id}: {result.finish_reason}, {len(result.steps)} steps' +
                                   (f': {one_line(result.error_msg)}' if result.error_msg else ''))
            if result.finish_reason == Task.Result.CANCELED:
                await_cancel(handle)
                handle.canceled()
            elif result.finish_reason == Task.Result.ABORTED:
                handle.abort()
            else:
                handle.succeed()
        finally:
            with self._changed:
                if self._running is not None:
                    self._watcher.forget(self._running)
                self._running = None
                self._changed.notify_all()

    def _look_for_clients(self) -> None:
        if self._watcher:
            for wakeup in self._watcher.look(self._followers()):
                self.get_logger().warning('a task was ended because its client has gone')
                wakeup.end(TaskEnded(Task.Result.ABORTED, ErrorCode.CLIENT_LOST, 'its client has gone'))

    def _followers(self) -> set[bytes]:
        """Return the clients: each subscribes to the feedback."""
        subscriptions = self.get_subscriptions_info_by_topic(self._feedback_topic)
        return {bytes(subscription.endpoint_gid) for subscription in subscriptions}

    def _record(self, goal_id: Any, task_id: UUID, step: TaskStep) -> None:
        """Publish and log a step."""
        is_dry = self._runner.is_dry
        self._audit.publish(TaskRecord(stamp=self.get_clock().now().to_msg(), goal_id=goal_id,
                                       interface=self._runner.interface(step.call.name), dry_run=is_dry, step=step))
        line = f"task {task_id}: {'dry run: ' if is_dry else ''}{step.call.name} {step.call.arguments}"
        has_ended = step.status not in (TaskStep.RUNNING, TaskStep.WAITING)
        self.get_logger().info(one_line(
            f'{one_line(line)[:500]} {STATUS[step.status]}' +
            (f' (call_id {step.call.id})' if step.status == TaskStep.WAITING else '') +
            (f' after {step.duration:.2f} s: {step.result[:300]}' if has_ended else '')))

    def _on_look(self) -> None:
        """Say once what the tools wait for, and once that all is there."""
        missing = [f'{name} ({caller.interface})' for name, caller in self._callers.items() if not caller.is_there]
        if missing and not self._were_missing:
            self._were_missing = True
            self.get_logger().warning(f"nobody serves these tools yet: {', '.join(missing)}; a call waits for its time "
                                      'limit, and then fails')
        elif not missing:
            if self._were_missing:
                self.get_logger().info('all tools are served now')
            self._look.cancel()

    def _caller(self, tool: Tool) -> Caller:
        kinds: Mapping[str, Any] = {'service': ServiceCaller, 'read': Reader}
        if tool.spec.kind in kinds:
            caller: Caller = kinds[tool.spec.kind](self, tool)
            return caller
        return (ActionCaller if tool.spec.kind == 'action' else Publisher)(self, tool, self._guarded)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value


def main(args: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    return run(lambda _: AgentNode(), args)


if __name__ == '__main__':
    sys.exit(main())
