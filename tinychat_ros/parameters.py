# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one table, and the functions that declare and check them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
import yaml

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.loading.memory_plan import MAX_PARALLEL
from tinychat_core.remote.config import check_order
from tinychat_ros.distribution import start_values
from tinychat_ros.parameter_values import convert, Value

# When a parameter may change.
ALWAYS = 'at any time; goals that were accepted before keep the old value'
UNCONFIGURED = 'while the node is unconfigured'
NEVER = 'only at the start of the node'


@dataclass(frozen=True)
class Declared:
    """One parameter; `low` .. `high` is the range of a number, `choices` the allowed values of a string."""

    name: str
    default: Value
    description: str
    changes: str = ALWAYS
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """Return what `ros2 param describe` shows."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.changes == NEVER)
        constraints = [f'One of: {", ".join(self.choices)}.'] if self.choices else []
        if self.changes != NEVER:
            constraints.append(f'Changes {self.changes}.')
        descriptor.additional_constraints = ' '.join(constraints)
        if self.low is not None and self.high is not None:
            if isinstance(self.default, int):
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.low), to_value=int(self.high))]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=self.low, to_value=self.high)]
        return descriptor


BIG = 2**31 - 1

PARAMETERS = (
    Declared('autostart', True,
             'true: the node configures and activates itself when it starts; false: a lifecycle manager does it.',
             NEVER),
    Declared('exit_on_failure', False,
             'true: end the process with exit code 2 if autostart fails; false: the node stays alive, unconfigured, '
             'and /diagnostics shows the reason.', NEVER),
    Declared('model', '', 'Directory of a split checkpoint; empty: the default model, if it is installed.',
             UNCONFIGURED),
    Declared('backends', ['local'],
             'Backends in the order in which they are asked: local, and names of servers on other machines; the '
             'parameters remote.NAME.… describe each of them.', UNCONFIGURED),
    Declared('backend_policy', 'prefer',
             'prefer: the first backend that can answer; hedge: also the next one, if there is no token after '
             'hedge_delay; offload: local, unless more than offload_queue goals wait there.', UNCONFIGURED,
             choices=('prefer', 'hedge', 'offload')),
    Declared('hedge_delay', 0.5, 'Time without a token after which the next backend is asked as well [s].',
             UNCONFIGURED, low=0.0, high=3600.0),
    Declared('offload_queue', 0, 'Number of goals that may wait for the local model before other backends are asked.',
             UNCONFIGURED, low=0, high=100000),
    Declared('continue_locally', False,
             'true: if the stream of a server breaks, the local model continues its text; false: the goal is aborted '
             'with that text.', UNCONFIGURED),
    Declared('precision', '',
             'Precision of weights and activations: W4, W4A16 or W4A8 (the same with W5, W6 and W8), or W16A16; empty: '
             "the backend's default for the stored weights.", UNCONFIGURED),
    Declared('backend', 'auto', 'Device that runs the model; auto: CUDA if it is usable, otherwise the CPU.',
             UNCONFIGURED, choices=('auto', 'cpu', 'cuda')),
    Declared('threads', 0,
             'Number of CPU threads that run the model; 0: one for each physical core that the process may use.',
             UNCONFIGURED, low=0, high=1024),
    Declared('nice', 0,
             "Added to the niceness of the node's threads, so that control loops have priority; DDS threads keep "
             'theirs.', NEVER, low=0, high=19),
    Declared('max_seq_len', 0,
             "Size of the KV cache: prompt and answer together [tokens]; 0: the model's context length, or less if "
             'memory is short.', UNCONFIGURED, low=0, high=BIG),
    Declared('kv_cache_dtype', 'auto',
             'Data type of the KV cache; auto: 16 bits (fp32 if the CPU computes in fp32); int8: half of 16 bits.',
             UNCONFIGURED, choices=('auto', 'int8')),
    Declared('speculation', 'auto',
             'auto: the next tokens are guessed if that makes answers faster, and the model verifies the guesses, so '
             'answers do not change; off: no guesses.', UNCONFIGURED, choices=('auto', 'off')),
    Declared('draft_model', '',
             'Directory of a smaller split checkpoint with the same tokenizer, which guesses tokens for the model to '
             'verify; empty: none.', UNCONFIGURED),
    Declared('memory', '',
             'Memory limit for the model, such as 6GiB; empty: the memory that is available when it loads, without '
             'swap.', UNCONFIGURED),
    Declared('verify', 'full', 'Check of the model files when they are loaded: all checksums, or only the file sizes.',
             UNCONFIGURED, choices=('full', 'size')),
    Declared('parallel', 0,
             'Maximum number of goals that run at the same time, each with a KV cache; 0: 4 if their caches fit into '
             'memory, otherwise 2. Goals of one conversation run one after the other.', UNCONFIGURED, low=0,
             high=MAX_PARALLEL),
    Declared('kv_caches', 2,
             'Maximum number of KV caches (`parallel`, if that is more), shared by all conversations and created when '
             'first needed. A conversation that loses its cache keeps its turns, and the model reads them again.',
             UNCONFIGURED, low=1, high=1000),
    Declared('http_port', 0,
             "Port of the HTTP server, which has OpenAI's API, Ollama's API and a chat page for the same model; 0: no "
             'server. It needs fastapi and uvicorn.', UNCONFIGURED, low=0, high=65535),
    Declared('http_host', '127.0.0.1',
             'Address on which the HTTP server listens. Any address other than loopback needs an API key.',
             UNCONFIGURED),
    Declared('http_api_key_file', '',
             'File with the API key that clients of the HTTP server must send; empty: the environment variable '
             'TINYCHAT_API_KEY, if set.', UNCONFIGURED),
    Declared('system_prompt', '', "System prompt of goals that do not set one; empty: the model's own."),
    Declared('max_new_tokens', 512, 'Maximum length of an answer, for goals that do not set it [tokens].',
             low=1, high=BIG),
    Declared('sampling.temperature', 0.7, 'Default sampling temperature; 0: always the most likely token (greedy).',
             low=0.0, high=100.0),
    Declared('sampling.top_k', 40, 'Sample only from the k most likely tokens; 0: off.', low=0, high=BIG),
    Declared('sampling.top_p', 0.95,
             'Sample only from the smallest set of most likely tokens whose probabilities sum to p; 1: off.',
             low=0.0, high=1.0),
    Declared('sampling.min_p', 0.0,
             'Sample only from tokens with at least this fraction of the probability of the most likely token; 0: off.',
             low=0.0, high=1.0),
    Declared('sampling.repetition_penalty', 1.0,
             'Factor by which the logits of tokens that already occurred are reduced; 1: off.', low=0.01, high=100.0),
    Declared('sampling.dry_multiplier', 0.0,
             'Strength of DRY, a penalty for repeated phrases; 0.8 is usual; 0: off. Structured answers never use it.',
             low=0.0, high=100.0),
    Declared('sampling.dry_base', 1.75, 'Factor by which the DRY penalty grows with each further repeated token.',
             low=1.0, high=100.0),
    Declared('sampling.dry_allowed_length', 2, 'Repetitions shorter than this have no DRY penalty [tokens].',
             low=1, high=BIG),
    Declared('sampling.dry_penalty_last_n', -1,
             'Number of most recent tokens in which DRY looks for repetitions; -1: all; 0: none.', low=-1, high=BIG),
    Declared('sampling.seed', -1,
             'Random seed; the same seed gives the same answer; -1: a new seed for each goal.',
             low=-1, high=2**63 - 1),
    Declared('prompt_conversation_id', '',
             'Conversation of the prompts from ~/prompt; empty: each prompt is answered without memory.'),
    Declared('image_timeout', 2.0,
             'Maximum time that a goal waits for a frame on each of its image_topics [s]; then it ends with NO_IMAGE.',
             low=0.0, high=60.0),
    Declared('image_topic_linger', 0.0,
             'How long the node stays subscribed to an image topic after a goal has used it, so that the next goal '
             'gets the newest frame at once [s]; 0: it unsubscribes at once.', low=0.0, high=3600.0),
    Declared('time_limit', 0.0, 'Maximum time from the acceptance to the end of a goal [s]; 0: no limit.',
             low=0.0, high=1e9),
    Declared('busy_policy', 'queue',
             'What happens to a new goal while no more goals can run: it waits (queue), is rejected (reject), or ends '
             'the oldest goal of the lowest priority (preempt).', choices=('queue', 'reject', 'preempt')),
    Declared('queue_depth', 8, 'Maximum number of waiting goals, if busy_policy is queue.', low=1, high=100000),
    Declared('on_deactivate', 'abort',
             'What deactivation does to the running goals: abort them or let them finish. Waiting goals are always '
             'aborted.',
             choices=('abort', 'finish')),
    Declared('on_client_lost', 'finish',
             "What to do when every client that followed a goal's feedback has gone: finish or cancel it. A clean exit "
             'is noticed at once, a killed client after up to 20 s.', choices=('finish', 'cancel')),
    Declared('publish_period', 0.02,
             'Text generated within this time is published in one message [s]; 0: one message for each token.',
             low=0.0, high=10.0),
    Declared('sentence_topic', '',
             'Topic for whole sentences of the answers (std_msgs/String), for a speech node; empty: none.', NEVER),
)


TABLE = {declared.name: declared for declared in PARAMETERS}


def declare(node: Node, is_unconfigured: Callable[[], bool], table: Sequence[Declared] = PARAMETERS) -> None:
    """
    Declare all parameters of a table on a node, and check each change.

    Raises rclpy's InvalidParameterValueException for a start value (command line, parameter file) of the wrong
    type, out of range or not among the choices.
    """
    by_name = {declared.name: declared for declared in table}

    def check(parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            declared = by_name.get(parameter.name)
            if declared is None:
                continue
            if declared.choices and parameter.value not in declared.choices:
                return SetParametersResult(successful=False, reason=(
                    f"{declared.name} must be {' or '.join(declared.choices)}, not {shown(parameter.value)}"))
            if parameter.name == 'backends':
                try:
                    check_order(tuple(parameter.value or ()))
                except InvalidParameterError as error:
                    return SetParametersResult(successful=False, reason=str(error))
            if declared.changes == UNCONFIGURED and not is_unconfigured():
                return SetParametersResult(successful=False, reason=(
                    f'{declared.name} changes only {UNCONFIGURED}: deactivate and clean up first'))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)  # before the declarations, so that it also checks start values
    for declared in table:
        value = declared.default
        # rclpy does not convert overrides: it would refuse 0 for 0.0.
        if declared.name in start_values(node):
            value = _start_value(node, declared)
        node.declare_parameter(declared.name, value, declared.descriptor(), ignore_override=True)


def _start_value(node: Node, declared: Declared) -> Value:
    value = start_values(node)[declared.name].value
    try:
        return convert(declared.name, value, type(declared.default), node.get_logger().warning)
    except ValueError as error:
        raise InvalidParameterValueException(declared.name, value, str(error)) from None


def warn_of_unknown(node: Node, table: Sequence[Declared] = PARAMETERS) -> None:
    """Warn about start values of parameters that the node does not have: ROS ignores them silently."""
    unknown = [name for name in start_values(node) if not node.has_parameter(name)]
    for name in unknown[:5]:
        # Most people remember only the second half of sampling.temperature.
        names = {known.name: known.name for known in table} | {
            known.name.rpartition('.')[2]: known.name for known in table}
        close = get_close_matches(name, names, 1)
        node.get_logger().warning(
            f'there is no parameter {shown(name)}, and its value is ignored' +
            (f'; did you mean {names[close[0]]}?' if close else ''))


def changes(node: Node, parameters: Sequence[Parameter[Any]]) -> list[Parameter[Any]]:
    """
    Return the parameters whose values differ from the node's, converted to their declared types.

    An equal value is always accepted, so that a node can load its own dump. Raises ValueError with a one-line message
    for a value of the wrong type.
    """
    new = []
    for parameter in parameters:
        if _is_unchanged(node, parameter):
            continue
        # Parameters that rclpy declares, such as use_sim_time, are strings, numbers and booleans too.
        kind = type(node.get_parameter(parameter.name).value) if node.has_parameter(parameter.name) else None
        if kind in (str, int, float, bool, list):
            value = convert(parameter.name, parameter.value, kind, node.get_logger().warning)
            parameter = Parameter(parameter.name, value=value)
        if not _is_unchanged(node, parameter):
            new.append(parameter)
    return new


def _is_unchanged(node: Node, parameter: Parameter[Any]) -> bool:
    """Return whether a node has this value, even if `ros2 param load` reads a dump's string 'yes' as a boolean."""
    if not node.has_parameter(parameter.name):
        return False
    old = node.get_parameter(parameter.name)
    if isinstance(old.value, str) and isinstance(parameter.value, (bool, int, float)):
        return _reads_as(old.value, parameter.value)
    return bool(old.get_parameter_value() == parameter.get_parameter_value())


def _reads_as(text: str, value: Value) -> bool:
    if len(text) > 100:  # too long for a number or a YAML word
        return False
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return type(read) is type(value) and bool(read == value)
