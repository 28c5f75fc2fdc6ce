# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node: goals in, streamed tokens out."""

from __future__ import annotations

import signal
import sys
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any
import uuid

import rclpy
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header, String
from unique_identifier_msgs.msg import UUID

from tinychat_core.engine import Engine
from tinychat_core.errors import PromptTooLongError, TinyChatError
from tinychat_ros import parameters
from tinychat_ros.accepted_goal import AcceptedGoal, CLIENT
from tinychat_ros.default_model import default_model
from tinychat_ros.goal_check import check_goal, Rejection, Request
from tinychat_ros.goal_queue import GoalQueue
from tinychat_ros.interfaces import Chat, GetModelInfo, ResetConversation, State, Token, Tokenize
from tinychat_ros.token_stream import Piece, TokenStream

# A thousand goals may come at once, and every client must be answered: with the default depth of 10 most never are.
SERVICE_QOS = QoSProfile(depth=2000)
TOKEN_QOS = QoSProfile(depth=1000)
STATE_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class ChatNode(Node):
    """
    Serves one engine: action ~/chat, topics ~/tokens and ~/state, subscription ~/prompt, and three services.

    One goal runs at a time, in an executor thread of its own; every other callback returns at once.
    """

    def __init__(self, engine: Engine | None = None, **node_options: Any) -> None:
        """Declare the parameters; open the model that they name, or take an engine that is open already."""
        super().__init__('tinychat', **node_options)
        parameters.declare(self)
        self._state_publisher = self.create_publisher(State, '~/state', STATE_QOS)
        self._queue: GoalQueue[AcceptedGoal] = GoalQueue()
        self._stopping = False
        self._rejected = 0
        self._last_rejection = ''
        self._model = ''
        self._engine = engine or self._open_engine()
        self._model = str(self._engine.path or '')
        self._cache = self._engine.new_cache()

        group = ReentrantCallbackGroup()
        self._tokens = self.create_publisher(Token, '~/tokens', TOKEN_QOS)
        self._server = ActionServer(
            self, Chat, '~/chat', self._run_accepted, callback_group=group, goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted, cancel_callback=self._on_cancel, result_timeout=10,
            goal_service_qos_profile=SERVICE_QOS, result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS, feedback_pub_qos_profile=TOKEN_QOS)
        self.create_subscription(String, '~/prompt', self._on_prompt, QoSProfile(depth=10), callback_group=group)
        self.create_service(Tokenize, '~/tokenize', self._on_tokenize, callback_group=group)
        self.create_service(GetModelInfo, '~/get_model_info', self._on_model_info, callback_group=group)
        self.create_service(ResetConversation, '~/reset_conversation', self._on_reset, callback_group=group)
        self._publish_state(State.IDLE)
        self.get_logger().info(f'ready: {self._model}, {self._engine.precision} on {self._engine.backend}, '
                               f'{self._engine.threads} threads, context {self._engine.context_length}')

    def stop(self, timeout: float = 5.0) -> None:
        """Take no more goals, end all with DEACTIVATED and wait until their clients can have been told."""
        self._stopping = True
        for goal in self._queue.drain():
            self._end_waiting(goal, Chat.Result.DEACTIVATED, 'the node is shutting down')
        running = self._queue.running
        if running is not None:
            running.end(Chat.Result.DEACTIVATED, 'the node is shutting down')
        deadline = monotonic() + timeout
        while self._queue.running is not None and monotonic() < deadline:
            sleep(0.005)
        sleep(0.3)  # the executor sends the results after the goals' callbacks have returned

    def close(self) -> None:
        """Destroy the node and give the model's memory back."""
        self._server.destroy()
        self.destroy_node()
        del self._cache
        self._engine.close()

    # --- the model ----------------------------------------------------------------------------------------------

    def _open_engine(self) -> Engine:
        path = self._value('model') or default_model()
        self._model = str(path)
        self._publish_state(State.LOADING)
        return Engine.open(path, self._value('precision') or None, self._value('backend'),
                           self._value('threads') or None, self._value('max_seq_len') or None)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    # --- goals: who is taken, who runs, who ends ----------------------------------------------------------------

    def _check(self, goal: Chat.Goal) -> Request:
        if self._stopping:
            raise Rejection('[inactive] the node is shutting down')
        request = check_goal(goal, self._value, self._engine.context_length)
        refusal = self._queue.refusal(request.priority, self._value('busy_policy'), self._value('queue_depth'))
        if refusal:
            raise Rejection(refusal)
        return request

    def _on_goal(self, goal: Chat.Goal) -> GoalResponse:
        try:
            self._check(goal)
        except Rejection as rejection:
            self._reject(str(rejection))
            return GoalResponse.REJECT
        except Exception as error:  # rclpy's executor would end with it
            self._reject(f'[internal error] {error!r}')
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, handle: Any) -> None:
        request = check_goal(handle.request, self._value, self._engine.context_length)
        self._accept(AcceptedGoal(request, handle.goal_id, handle))

    def _on_prompt(self, message: String) -> None:
        try:
            request = self._check(Chat.Goal(prompt=message.data))
        except Rejection as rejection:
            self._reject(str(rejection))
            return
        self._accept(AcceptedGoal(request, UUID(uuid=list(uuid.uuid4().bytes)), None))

    def _accept(self, goal: AcceptedGoal) -> None:
        goal.stream = TokenStream(lambda piece: self._emit(goal, piece), self._value('publish_period'))
        preempted = self._queue.push(goal, goal.request.priority, self._value('busy_policy'))
        goal.limit_time(self._on_time_limit)
        for other in preempted:
            if other is self._queue.running:
                other.end(Chat.Result.PREEMPTED, 'a newer goal took its place')
            else:
                self._end_waiting(other, Chat.Result.PREEMPTED, 'a newer goal took its place')
        ahead = self._queue.ahead(goal)
        if goal.handle is not None and ahead:
            goal.handle.publish_feedback(Chat.Feedback(stage=Chat.Feedback.QUEUED, goals_ahead=ahead))
        self._start_next()

    def _start_next(self) -> None:
        goal = self._queue.start()
        if goal is not None:
            self._execute(goal, self._run_goal)
        self._publish_state(State.BUSY if self._queue.running else State.IDLE)

    def _execute(self, goal: AcceptedGoal, callback: Any) -> None:
        """Let an executor thread call callback(goal): what it returns is the action's result."""
        if goal.handle is not None:
            goal.handle.execute(lambda _: callback(goal))
        else:
            assert self.executor is not None
            self.executor.create_task(callback, goal)

    def _end_waiting(self, goal: AcceptedGoal, reason: int, message: str) -> None:
        """End a goal that has been taken out of the queue; only an executing goal can reach a terminal state."""
        goal.end(reason, message)
        self._execute(goal, AcceptedGoal.finish_early)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        running = self._queue.running
        if running is not None and running.handle is handle:
            running.end(CLIENT, '')
            return CancelResponse.ACCEPT
        goal = self._queue.take(lambda waiting: waiting.handle is handle)
        if goal is None:
            return CancelResponse.REJECT  # it has just ended
        self._end_waiting(goal, CLIENT, '')
        return CancelResponse.ACCEPT

    def _on_time_limit(self, goal: AcceptedGoal) -> None:
        message = f'the time limit of {goal.request.time_limit:g} s is over'
        if self._queue.take(lambda waiting: waiting is goal) is not None:
            self._end_waiting(goal, Chat.Result.TIME_LIMIT, message)
        else:
            goal.end(Chat.Result.TIME_LIMIT, message)

    def _run_accepted(self, handle: Any) -> Chat.Result:
        """Never called: every goal is executed with a callback of its own, see _execute."""
        raise AssertionError(f'goal {handle.goal_id} was executed without its callback')

    # --- one goal -----------------------------------------------------------------------------------------------

    def _run_goal(self, goal: AcceptedGoal) -> Chat.Result:
        try:
            return self._generate(goal)
        except PromptTooLongError as error:
            return goal.finish(Chat.Result.ABORTED, Chat.Result.PROMPT_TOO_LONG, str(error))
        except TinyChatError as error:
            return goal.finish(Chat.Result.ABORTED, Chat.Result.INVALID_GOAL, str(error))
        except MemoryError:
            return goal.finish(Chat.Result.ABORTED, Chat.Result.OUT_OF_MEMORY, 'out of memory')
        except Exception as error:
            self.get_logger().error(f'the backend failed: {error!r}')
            return goal.finish(Chat.Result.ABORTED, Chat.Result.BACKEND_FAILED, repr(error))
        finally:
            self._queue.finish(goal)
            self._start_next()

    def _generate(self, goal: AcceptedGoal) -> Chat.Result:
        result, stream = goal.result, goal.stream
        assert stream is not None
        start = monotonic()
        result.queue_time = start - goal.accepted_at
        if goal.handle is not None:
            goal.handle.publish_feedback(Chat.Feedback(stage=Chat.Feedback.PREFILL))
        self._cache.truncate(0)
        generation = self._engine.generate(goal.request.messages, goal.request.params, self._cache, goal.cancel)
        result.prompt_tokens, result.seed = generation.prompt_tokens, generation.seed
        first = last = start
        finish_reason = None
        for token in generation:
            finish_reason = token.finish_reason
            if finish_reason == 'canceled':
                result.text += token.text
                stream.push(token.text, result.new_tokens)
                return goal.finish_early()
            last = monotonic()
            if result.new_tokens == 0:
                first = last
                result.time_to_first_token = first - start
            result.new_tokens += 1
            result.text += token.text
            if last > first:
                result.tokens_per_second = (result.new_tokens - 1) / (last - first)
            stream.push(token.text, result.new_tokens)
        assert finish_reason is not None
        return goal.finish(finish_reason)

    def _emit(self, goal: AcceptedGoal, piece: Piece) -> None:
        self._tokens.publish(Token(
            header=Header(stamp=self.get_clock().now().to_msg()), goal_id=goal.goal_id, index=piece.index,
            new_tokens=piece.new_tokens, delta=piece.delta, last=piece.last, finish_reason=piece.finish_reason,
            error_code=piece.error_code))
        if goal.handle is not None:
            goal.handle.publish_feedback(Chat.Feedback(
                stage=Chat.Feedback.DECODE, prefill_progress=1.0, index=piece.index, new_tokens=piece.new_tokens,
                delta=piece.delta))

    # --- what the node tells ------------------------------------------------------------------------------------

    def _reject(self, reason: str) -> None:
        self._rejected += 1
        self._last_rejection = reason
        self.get_logger().warning(f'goal rejected: {reason}')
        self._publish_state(State.BUSY if self._queue.running else State.IDLE)

    def _publish_state(self, state: int) -> None:
        running = self._queue.running
        self._state_publisher.publish(State(
            stamp=self.get_clock().now().to_msg(), state=state, load_progress=0.0 if state == State.LOADING else 1.0,
            model=self._model, backend='' if state == State.LOADING else self._engine.backend,
            goal_id=running.goal_id if running else UUID(), queued_goals=len(self._queue),
            rejected_goals=self._rejected, last_rejection=self._last_rejection))

    def _on_tokenize(self, request: Tokenize.Request, response: Tokenize.Response) -> Tokenize.Response:
        response.context_length = self._engine.context_length
        try:
            if bool(request.text) == bool(request.messages):
                raise TinyChatError('give either text or messages')
            messages = [{'role': m.role, 'content': m.content} for m in request.messages]
            tokenizer = self._engine.tokenizer
            response.tokens = tokenizer.encode_chat(messages) if messages else tokenizer.encode(request.text)
            response.success = True
        except TinyChatError as error:
            response.message = str(error)
        return response

    def _on_model_info(self, _: GetModelInfo.Request, response: GetModelInfo.Response) -> GetModelInfo.Response:
        engine = self._engine
        response.success = True
        response.path, response.family, response.precision = self._model, engine.family, engine.precision
        response.group_size, response.backend = engine.group_size, engine.backend
        response.context_length, response.vocabulary_size = engine.context_length, engine.vocab_size
        response.weights_bytes, response.kv_cache_bytes = engine.weights_bytes, engine.kv_cache_bytes
        return response

    def _on_reset(self, request: ResetConversation.Request,
                  response: ResetConversation.Response) -> ResetConversation.Response:
        response.success = request.conversation_id == ''  # no goal can have begun one
        response.message = '' if response.success else 'unknown conversation'
        return response


def main(args: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; the goals end before the context does. Returns 2 for what the user can mend."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = ChatNode()
    except (TinyChatError, ValueError) as error:
        print(f'tinychat_ros: error: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    spinning = Thread(target=executor.spin, name='executor')
    spinning.start()
    stop.wait()
    node.stop()
    executor.shutdown()
    spinning.join()
    node.close()
    rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
