# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A loaded model answers one goal at a time."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from tinychat_core.boundary import is_defect
from tinychat_core.engine import Canceled, Engine
from tinychat_core.errors import BackendFailedError, CheckpointError, one_line, PromptTooLongError, TinyChatError
from tinychat_core.generation import Generation
from tinychat_core.speech.spoken_text import SpokenText
from tinychat_core.text.thoughts import begins_thought
from tinychat_ros.accepted_goal import AcceptedGoal, Ending
from tinychat_ros.conversations import Conversations
from tinychat_ros.interfaces import Chat
from tinychat_ros.interruptible import interruptible

LOCAL = 'local'  # the name of this machine among those that answer


@dataclass
class Figures:
    """What the last answer took, how many there were, and what the last goal failed of, until one does not."""

    answers: int = 0
    failed: int = 0
    failure: str = ''
    tokens_per_second: float = 0.0
    time_to_first_token: float = 0.0


class Answering:
    """A model and what it keeps between goals."""

    def __init__(self, engine: Engine, kv_caches: int) -> None:
        """Take an open engine, to be closed with this, and how many KV caches there may be."""
        self.engine = engine
        self.figures = Figures()
        self.kv_caches = kv_caches
        self.conversations = Conversations(engine, kv_caches)

    def close(self) -> None:
        """Give the memory back."""
        self.conversations.close()
        self.engine.close()

    def answer(self, goal: AcceptedGoal) -> Ending:
        """Generate, stream and fill goal.result; return how it ended, whatever the engine raises."""
        ending = self._answer(goal)
        has_failed = ending.error_code in (Chat.Result.OUT_OF_MEMORY, Chat.Result.BACKEND_FAILED)
        self.conversations.end(has_failed)
        if has_failed:
            self.figures.failed += 1
            self.figures.failure = ending.message
        elif goal.result.new_tokens:  # none: it has not come so far
            self.figures.failure = ''
        return ending

    def _answer(self, goal: AcceptedGoal) -> Ending:
        start = monotonic()
        goal.result.queue_time = start - goal.accepted_at
        try:
            if goal.cancel.is_set():
                return goal.early_ending
            self.conversations.claim(goal.request.conversation_id)
            prepared = interruptible(lambda: self.conversations.prepare(goal.request, goal.cancel), goal.cancel)
            generation, goal.result.dropped_turns = self.conversations.begin(goal.request, prepared, goal.cancel)
            return self._stream(goal, generation, start)
        except Canceled:
            return goal.early_ending
        except PromptTooLongError as error:
            return Ending(Chat.Result.ABORTED, Chat.Result.PROMPT_TOO_LONG, str(error))
        except (BackendFailedError, CheckpointError) as error:
            return Ending(Chat.Result.ABORTED, Chat.Result.BACKEND_FAILED, str(error))
        except TinyChatError as error:
            return Ending(Chat.Result.ABORTED, Chat.Result.INVALID_GOAL, str(error))
        except MemoryError:
            return Ending(Chat.Result.ABORTED, Chat.Result.OUT_OF_MEMORY, 'there is not enough memory')
        except BaseException as error:
            if not is_defect(error):
                raise
            return Ending(Chat.Result.ABORTED, Chat.Result.BACKEND_FAILED, one_line(f'the backend failed: {error!r}'))

    def _stream(self, goal: AcceptedGoal, generation: Generation, start: float) -> Ending:
        result = goal.result
        result.prompt_tokens, result.seed = generation.prompt_tokens, generation.seed
        result.reused_tokens = generation.reused_tokens
        result.served_by = LOCAL
        generation.on_prefill = goal.show_prefill
        goal.speech = SpokenText(begins_thought(generation.prompt_end))
        texts: list[str] = []
        first = last = start
        try:
            for token in generation:
                # NUL would end the text in the C strings of a message.
                text = token.text.replace('\0', '\N{REPLACEMENT CHARACTER}')
                texts.append(text)
                if token.finish_reason == 'canceled':
                    goal.stream.push(text, result.new_tokens)
                    return goal.early_ending
                last = monotonic()
                if result.new_tokens == 0:
                    first = last
                result.new_tokens += 1
                goal.stream.push(text, result.new_tokens)
            assert generation.finish_reason is not None
            if not generation.is_complete:
                return Ending(Chat.Result.ABORTED, Chat.Result.STRUCTURE_INCOMPLETE,
                              'the answer was cut off before it matched')
            return Ending(generation.finish_reason)
        finally:
            result.text = ''.join(texts)
            if result.new_tokens:
                result.time_to_first_token = first - start
            if last > first:
                result.tokens_per_second = (result.new_tokens - 1) / (last - first)
            self._note(result)

    def _note(self, result: Chat.Result) -> None:
        if result.new_tokens:
            self.figures.answers += 1
            self.figures.time_to_first_token = result.time_to_first_token
        if result.tokens_per_second:
            self.figures.tokens_per_second = result.tokens_per_second
