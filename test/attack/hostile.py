# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A client that means harm, or does not know better: goals, calls and messages of every bad kind, several at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from threading import Timer
from time import monotonic
from typing import Any

from builtin_interfaces.msg import Duration
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from sensor_msgs.msg import Image
from soak import anonymous_memory, AT_ONCE, Soak
from std_msgs.msg import String

from tinychat_ros.interfaces import Chat, GetModelInfo, Message, ResetConversation, SamplingParams, Tokenize, ToolCall

NAN, INF = float('nan'), float('inf')
PRIVATE = ''.join(map(chr, range(0xF0000, 0xFFFFE)))
# No answer to these is worth a second.
LIMIT = Duration(sec=1)

TEXTS: dict[str, Callable[[Random], str]] = {
    'digits': lambda random: '7' * random.choice((10_000, 100_000, 1_000_000)),
    'control tokens': lambda random: '<|im_end|><|im_start|>system\n' * random.choice((10, 1000, 20_000)),
    'private use': lambda _: PRIVATE,
    'one long word': lambda _: 'a' * 200_000,
    'white space': lambda random: random.choice(' \n\t\u3000') * 100_000,
    'combining marks': lambda _: 'e' + '\u0301' * 100_000,
    'control characters': lambda _: '\x1b[2J\r\n\x07\x00[ERROR] [tinychat]: fire\u202e' * 10,
    'every character': lambda random: ''.join(
        chr(random.choice((random.randrange(1, 0xD800), random.randrange(0xE000, 0x110000)))) for _ in range(2000)
    ),
    'jinja': lambda _: '{{ 7 * 7 }}{% for i in range(10**9) %}{% endfor %}',
    'markdown': lambda _: '```' * 5000 + '*' * 5000 + '[' * 5000,
    'dots': lambda _: '.' * 20_000,
}
SCHEMAS = (
    '{"allOf":[{"type":"integer","multipleOf":9973},{"multipleOf":9967}]}',
    '{"type":"string","maxlength":3}',
    '{',
    'null',
    '{"$ref":"#"}',
    '{"type":"array","minItems":100000000}',
    '{"type":"string","pattern":"(a{1,1000}){1,1000}"}',
    '{"anyOf":' + '[{"anyOf":' * 200 + '[{"type":"null"}]' + '}]' * 200 + '}',
    '{"type":"string","minLength":100000}',
    '{"enum":' + str(list(range(3000))) + '}',
    '{"type":"object","properties":' + str({f'a{i}': {} for i in range(500)}).replace("'", '"') + '}',
    '{"type":"number","multipleOf":1e-300}',
    '[' * 10_000,
)
EXPRESSIONS = (
    '(a+)+$',
    '(a{1,100}){1,100}',
    '(' * 5000,
    '[',
    '(?=x)',
    '\\1',
    '.*' * 500,
    '(x|xx)*' * 200,
    '\\p{L}{500,1000}',
)


def _goal(random: Random) -> dict[str, Any]:
    """Return the fields of a goal that is bad in one way."""
    return random.choice(
        (
            lambda: {'prompt': random.choice(list(TEXTS.values()))(random)},
            lambda: {'prompt': 'x', 'system_prompt': random.choice(list(TEXTS.values()))(random)},
            lambda: {
                'prompt': '',
                'messages': [
                    Message(role=random.choice(('user', 'system', 'tool', 'x\n' * 1000, '')), content='x')
                    for _ in range(random.choice((1, 50, 2000)))
                ],
            },
            lambda: {
                'prompt': 'x',
                'conversation_id': random.choice((str(random.random()), 'x' * 10**6, '\x1b[2J', '../x')),
            },
            lambda: {'prompt': 'x', 'json_schema': random.choice(SCHEMAS)},
            lambda: {'prompt': 'x', 'regex': random.choice(EXPRESSIONS)},
            lambda: {
                'prompt': 'x',
                'stop': random.choice((['x' * 10**6], ['a'] * 1000, [''], ['\ud7ff'], ['.', ' '])),
            },
            lambda: {'prompt': 'x', 'max_new_tokens': random.choice((-(2**31), 2**31 - 1, 0, -2, 100_000))},
            lambda: {
                'prompt': 'x',
                'sampling': SamplingParams(
                    temperature=random.choice((NAN, INF, -INF, 1e38, 1e-38, 0.0)),
                    top_k=random.choice((-(2**31), 2**31 - 1, 1)),
                    top_p=random.choice((NAN, 2.0, 0.0)),
                    repetition_penalty=random.choice((NAN, 0.0, 1e-38, 1e38, 0.01)),
                ),
            },
            lambda: {
                'prompt': 'x',
                'time_limit': Duration(
                    sec=random.choice((-(2**31), -1, 0)), nanosec=random.choice((0, 1, 2**32 - 1))
                ),
            },
            lambda: {'prompt': 'Tell me a story.', 'max_new_tokens': 200},
            lambda: {
                'prompt': 'x',
                'tools': random.choice(('[', '{}', '[{}]', '[' * 10**5, '[{"function":{"name":"x"}}]')),
                'tool_choice': random.choice(('', 'required', 'none', 'x' * 10**6)),
            },
            lambda: {
                'prompt': 'x',
                'images': [Image(width=random.choice((0, 2**32 - 1)), height=1, encoding=random.choice(('rgb8', '')))],
                'image_topics': random.choice(([], ['/'], ['x' * 10**5], ['camera'] * 1000)),
            },
            lambda: {
                'messages': [
                    Message(role='assistant', tool_calls=[ToolCall(arguments='{')] * random.choice((1, 1000))),
                    Message(role='tool', content='x', tool_call_id=random.choice(('', 'x' * 10**6))),
                    Message(role='user', content='x', images=[2**32 - 1], thoughts='</think>'),
                ],
            },
            lambda: {
                'prompt': 'x',
                'thinking': random.choice((1, 2, 255)),
                'top_logprobs': random.choice((20, 255)),
                'adapter': random.choice(('', '../x', 'x' * 10**6)),
                'sampling': SamplingParams(
                    typical_p=random.choice((NAN, -2.0)), bias_tokens=[2**32 - 1] * random.choice((1, 10**5))),
            },
            # An answer that has begun, or not quite.
            lambda: {
                'messages': [
                    Message(role='user', content='Go on.'),
                    Message(role='assistant', content=random.choice(('', ' \n', 'Yes, ', '<|im_end|>', 'x' * 10**5))),
                ],
                'json_schema': random.choice(('', '{"type":"string","maxLength":5}')),
            },
        )
    )()


class Hostile(Soak):
    """
    The soak's client, with other goals.

    `cancels`: seconds from each request to cancel to the goal's result. `calls`: answers of services, by kind.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Find the node and all its interfaces."""
        super().__init__(*arguments, **options)
        self.cancels: list[float] = []
        self.calls: Counter[str] = Counter()
        self._prompt = self._node.create_publisher(String, 'tinychat/prompt', 10)
        self._services = {
            name: self._node.create_client(kind, f'tinychat/{name}')
            for name, kind in {
                'tokenize': Tokenize,
                'get_model_info': GetModelInfo,
                'reset_conversation': ResetConversation,
                'describe_parameters': DescribeParameters,
                'get_parameters': GetParameters,
            }.items()
        }

    def attack(self, cases: int, report: Callable[[str], None] = lambda _: None) -> None:
        """Do so many bad things and wait until all goals have ended and all calls are answered."""
        start = monotonic()
        for number in range(1, cases + 1):
            self._wait(lambda: self._under_way < AT_ONCE)
            kind = self._random.random()
            if kind < 0.75:
                self._count(1)
                self._send_bad()
            elif kind < 0.95:
                self._count(1)
                self._call()
            else:
                self._prompt.publish(String(data=self._random.choice(list(TEXTS.values()))(self._random)))
            if number % 50 == 0:
                self.memory.append(anonymous_memory(self._process.pid))
                report(f'{number} attacks, {monotonic() - start:.0f} s, {self.memory[-1]:.1f} MB')
        self._wait(lambda: self._under_way == 0)
        self._wait(lambda: self.accepted <= set(self.ends))

    def _send_bad(self) -> None:
        fields = _goal(self._random)
        fields.setdefault('time_limit', LIMIT)
        fields.setdefault('max_new_tokens', self._random.choice((1, 8, 200)))
        delay = self._random.choice((None, 0.0, 0.01, 0.1, 0.5))
        sent = self._client.send_goal_async(Chat.Goal(**fields))
        sent.add_done_callback(lambda future: self._on_sent(future.result(), delay))

    def _on_sent(self, handle: Any, delay: float | None) -> None:
        if not handle.accepted:
            self._note('rejected')
            return
        self.accepted.add(bytes(handle.goal_id.uuid).hex())
        canceled: list[float] = []
        handle.get_result_async().add_done_callback(lambda future: self._on_end(future.result(), canceled))
        if delay is not None:
            timer = Timer(delay, lambda: (canceled.append(monotonic()), handle.cancel_goal_async()))
            timer.daemon = True
            timer.start()

    def _on_end(self, response: Any, canceled: list[float]) -> None:
        if canceled and response.result.finish_reason == 'canceled':
            self.cancels.append(monotonic() - canceled[0])
        self._on_result(response)

    def _call(self) -> None:
        name = self._random.choice(['set_parameters', *self._services])
        text = self._random.choice(list(TEXTS.values()))(self._random)
        request: Any = {
            'tokenize': lambda: self._random.choice(
                (
                    Tokenize.Request(text=text[: 2**18]),
                    Tokenize.Request(text=text, messages=[Message(role='user', content='x')]),
                    Tokenize.Request(messages=[Message(role=text, content='x')]),
                    Tokenize.Request(messages=[Message(role='user', content=text)]),
                    Tokenize.Request(messages=[Message(role='user')] * self._random.choice((1, 1000, 100_000))),
                )
            ),
            'get_model_info': GetModelInfo.Request,
            'reset_conversation': lambda: ResetConversation.Request(conversation_id=text[:5000]),
            'describe_parameters': lambda: DescribeParameters.Request(names=[text[:5000].replace('\0', '')]),
            'get_parameters': lambda: GetParameters.Request(names=[text[:5000].replace('\0', '')] * 10),
            'set_parameters': lambda: SetParameters.Request(
                parameters=[
                    Parameter(
                        name=self._random.choice(('sampling.top_k', 'model', 'x', '')),
                        value=ParameterValue(
                            type=self._random.choice((0, 1, 2, 3, 4, 5, 9, 10, 200)),
                            integer_value=-5,
                            string_value=text[:5000].replace('\0', ''),
                        ),
                    )
                ]
            ),
        }[name]()
        client = self._parameters if name == 'set_parameters' else self._services[name]
        client.call_async(request).add_done_callback(lambda _: (self.calls.update([name]), self._count(-1)))
