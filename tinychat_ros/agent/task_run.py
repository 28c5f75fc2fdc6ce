# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One task: the model calls functions until it says that it is done, or a limit ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
import json
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.serving.results import ErrorCode
from tinychat_core.text.tool_calls.tools import check_arguments
from tinychat_ros.agent.message_data import as_json
from tinychat_ros.agent.tool_runner import Outcome, ToolRunner
from tinychat_ros.agent.tools_file import ExampleSpec
from tinychat_ros.agent.wakeup import TaskEnded, Wakeup
from tinychat_ros.interfaces import Chat, Message, Task, TaskStep, ToolCall
from tinychat_ros.translation import text_for_message

MOST_NAME, MOST_ID = 128, 64  # characters of what a model gives as the name and the id of a call
SKIPPED = 'not made, because an earlier call of the same answer did not succeed'


class Model(Protocol):
    """Answers a dialogue; ChatModel is one."""

    def ask(self, messages: Sequence[Message], tools: str, wakeup: Wakeup,
            on_text: Callable[[str], None]) -> Chat.Result:
        """Return the next answer."""


class TaskRun:
    """
    Runs one task.

    `on_step` is called when a step has changed, `on_text` with each piece of the model's text.
    """

    def __init__(self, model: Model, runner: ToolRunner, tools: str, wakeup: Wakeup,
                 on_step: Callable[[TaskStep], None], on_text: Callable[[str], None]) -> None:
        """Take the model, the runner of its calls, and the functions as JSON."""
        self._model = model
        self._runner = runner
        self._tools = tools
        self._wakeup = wakeup
        self._on_step = on_step
        self._on_text = on_text
        self._steps: list[TaskStep] = []

    def run(self, opening: Sequence[Message], earlier: list[list[Message]], messages: list[Message],
            max_steps: int) -> Task.Result:
        """
        Return the result; expected errors are in it and are not raised.

        The dialogue is `opening` (the system prompt and the examples), `earlier` (the tasks of the conversation; the
        oldest are removed if they do not fit into the model's context) and `messages` (this task, which grows).
        """
        result = Task.Result(steps=self._steps)
        self._runner.begin_task()
        try:
            self._run(opening, earlier, messages, max_steps, result)
        except TaskEnded as end:
            result.finish_reason = end.finish_reason
            result.error_code = int(end.error_code)
            result.error_msg = str(end)
        result.steps = self._steps
        return result

    def _run(self, opening: Sequence[Message], earlier: list[list[Message]], messages: list[Message], max_steps: int,
             result: Task.Result) -> None:
        while True:
            dialogue = [*opening, *chain.from_iterable(earlier), *messages]
            answer = self._model.ask(dialogue, self._tools, self._wakeup, self._on_text)
            result.report = answer.text
            if answer.error_code == ErrorCode.PROMPT_TOO_LONG and earlier:
                del earlier[0]
                continue
            if answer.finish_reason == Chat.Result.ABORTED:
                raise TaskEnded(Task.Result.ABORTED, ErrorCode(answer.error_code) if
                                answer.error_code in [*ErrorCode] else ErrorCode.UNKNOWN, answer.error_msg)
            if not answer.tool_calls:
                messages.append(Message(role=Message.ASSISTANT, content=answer.text, thoughts=answer.thoughts))
                was_refused = bool(self._steps) and self._steps[-1].status == TaskStep.REFUSED
                result.finish_reason = Task.Result.REFUSED if was_refused else Task.Result.DONE
                if answer.finish_reason == Chat.Result.LENGTH:
                    result.error_msg = f'the report was cut off after {answer.new_tokens} tokens'
                return
            if len(self._steps) >= max_steps:
                raise TaskEnded(Task.Result.STEPS, message=f'all {max_steps} steps are used up')
            self._carry_out(answer, messages, max_steps)

    def _carry_out(self, answer: Chat.Result, messages: list[Message], max_steps: int) -> None:
        """Make the calls of an answer in their order; after one that does not succeed, the others are not made."""
        calls = [self._with_id(call) for call in answer.tool_calls]
        messages.append(Message(role=Message.ASSISTANT, content=answer.text, thoughts=answer.thoughts,
                                tool_calls=[_repeatable(call) for call in calls]))
        has_failed = False
        for call in calls:
            if len(self._steps) >= max_steps:
                raise TaskEnded(Task.Result.STEPS, message=f'all {max_steps} steps are used up')
            step = self._step(call, has_failed)
            has_failed = has_failed or step.status != TaskStep.SUCCEEDED
            messages.append(Message(role=Message.TOOL, content=step.result, tool_call_id=call.id))

    def _step(self, call: ToolCall, is_skipped: bool) -> TaskStep:
        step = TaskStep(call=call, status=TaskStep.RUNNING)
        self._steps.append(step)
        begun = monotonic()
        self._on_step(step)

        def on_wait() -> None:
            step.status = TaskStep.WAITING
            self._on_step(step)

        try:
            outcome = Outcome(TaskStep.REFUSED, {'ok': False, 'error': SKIPPED}) if is_skipped else \
                self._runner.run(call.id, call.name, call.arguments, self._wakeup, on_wait)
        except TaskEnded as end:
            why = str(end) or end.finish_reason
            self._end(step, Outcome(TaskStep.FAILED, {'ok': False, 'error': f'the task ended: {why}'}), begun)
            raise
        except Exception as error:  # a defect must not leave the client without a result
            reason = f'internal error: {error!r}'
            self._end(step, Outcome(TaskStep.FAILED, {'ok': False, 'error': reason}), begun)
            raise TaskEnded(Task.Result.ABORTED, ErrorCode.UNKNOWN, f'{call.name}: {reason}') from error
        self._end(step, outcome, begun)
        return step

    def _end(self, step: TaskStep, outcome: Outcome, begun: float) -> None:
        step.status = outcome.status
        step.result = text_for_message(as_json(outcome.told))
        step.duration = monotonic() - begun
        self._on_step(step)

    def _with_id(self, call: ToolCall) -> ToolCall:
        """Return a call with an id that no other call of the task has."""
        used = {step.call.id for step in self._steps}
        call_id = call.id if call.id and len(call.id) <= MOST_ID and call.id not in used else uuid4().hex[:9]
        return ToolCall(id=call_id, name=call.name[:MOST_NAME], arguments=call.arguments)


def dialogue_of(examples: Sequence[ExampleSpec]) -> list[Message]:
    """Return the examples of a tools file as the tasks of a dialogue."""
    messages = []
    for number, example in enumerate(examples):
        messages.append(Message(role=Message.USER, content=example.instruction))
        for i, call in enumerate(example.calls):
            call_id = f'ex{number:03}{i:04}'  # nine letters and digits, which Mistral's template wants
            messages += [Message(role=Message.ASSISTANT, tool_calls=[
                             ToolCall(id=call_id, name=call.name, arguments=json.dumps(call.arguments))]),
                         Message(role=Message.TOOL, content=as_json(call.result), tool_call_id=call_id)]
        messages.append(Message(role=Message.ASSISTANT, content=example.report))
    return messages


def _repeatable(call: ToolCall) -> ToolCall:
    """Return a call as the next goal can repeat it: the chat node refuses a dialogue with arguments that are none."""
    arguments: Any = call.arguments
    try:
        check_arguments(arguments, '')
    except InvalidParameterError:
        arguments = '{}'
    return ToolCall(id=call.id, name=call.name if call.name.strip() else shown(call.name), arguments=arguments)
