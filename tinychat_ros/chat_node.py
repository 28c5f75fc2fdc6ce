# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node: a model behind a lifecycle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
import os
import sys
from time import monotonic, sleep
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter

from tinychat_core.boundary import foreseen, is_defect
from tinychat_core.constraint import start_checker
from tinychat_core.engine import Canceled, CancelFlag, Engine
from tinychat_core.errors import one_line, TinyChatError
from tinychat_core.remote.opening import fleet_service_class
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.request_queue import Admission
from tinychat_core.sizes import parse_size
from tinychat_ros import parameters
from tinychat_ros.backend_parameters import declare_backends, fleet_config
from tinychat_ros.chat_server import ChatServer
from tinychat_ros.core_log import CoreLog
from tinychat_ros.diagnostics import Diagnostics
from tinychat_ros.distribution import change_state_service, lifecycle_state, triggered
from tinychat_ros.guard import guard_services
from tinychat_ros.hardware_monitor import HardwareMonitor
from tinychat_ros.heap import give_freed_memory_back
from tinychat_ros.http_door import HttpDoor
from tinychat_ros.interfaces import State
from tinychat_ros.model_path import model_path
from tinychat_ros.process import run
from tinychat_ros.question_services import QuestionServices
from tinychat_ros.services import Services
from tinychat_ros.status import Status

SUCCESS, FAILURE, ERROR = (TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE,
                           TransitionCallbackReturn.ERROR)
SHUTDOWN = 'the node is shutting down'
Transition = Callable[['ChatNode', LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition) -> Transition:
    """Log what a transition raises: rclpy drops it in silence."""
    @wraps(transition)
    def call(node: ChatNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except BaseException as error:
            if not is_defect(error):
                raise
            node.get_logger().error(one_line(f'{transition.__name__}: {error!r}'))
            return ERROR

    return call


class ChatNode(LifecycleNodeMixin, Node):
    """
    Configure loads the model, activate serves it, deactivate ends all goals, cleanup releases the memory.

    All interfaces exist from the start. They report if there is no model to serve. Needs a
    MultiThreadedExecutor with a thread for each goal that runs (`parallel`), and three more: one may wait in a
    transition.
    """

    def __init__(self, open_engine: Callable[..., Engine] = Engine.open,
                 give_up: Callable[[], None] = lambda: None, hardware: HardwareMonitor | None = None,
                 **node_options: Any) -> None:
        """
        Create the node; with autostart it configures and activates itself once it is spun.

        `open_engine` takes the arguments of Engine.open; `give_up` is called where autostart has
        failed and exit_on_failure is set; `hardware` is what /diagnostics watches, None: this machine.
        Raises rclpy's ParameterException for a bad start value.
        """
        Node.__init__(self, 'tinychat', **node_options)
        # With rclpy's own LifecycleNode, get_state and the parameter services would wait for a model to load.
        group = ReentrantCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=group)
        # One transition at a time, autostart's included: a request that comes meanwhile waits for
        # its turn, where rclpy would refuse it. So who sees IDLE may ask to deactivate at once.
        transitions = MutuallyExclusiveCallbackGroup()
        change_state = change_state_service(self)
        change_state.callback_group = transitions
        transitions.add_entity(change_state)
        self._open_engine = open_engine
        self._interrupt = CancelFlag()
        self._service: ChatService | None = None
        self._progress_shown = 0.0
        self._core_log = CoreLog(self.get_logger())
        self._status = Status(self)
        parameters.declare(self, self._is_unconfigured)
        declare_backends(self, self._is_unconfigured)
        # Of this thread and of those that begin later: the executor's and the decoder's, but not the middleware's.
        if self._value('nice'):
            os.nice(self._value('nice'))
        self._server = ChatServer(self, self._status)
        self._http = HttpDoor(self)
        self._queries = Services(self, group)
        self._questions = QuestionServices(self, group, self._server.topics)
        self._diagnostics = Diagnostics(self, self._status, group, hardware or HardwareMonitor())
        parameters.warn_of_unknown(self)
        self._give_up = give_up
        guard_services(self)
        if self._value('autostart'):
            # It fires once, however long a model takes to load.
            self._autostart = self.create_timer(0.001, self._start, transitions,
                                                Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def error(self) -> str:
        """Why no model is loaded, where that is an error."""
        return str(self._status.message.error)

    @property
    def is_busy(self) -> bool:
        """Whether requests run or wait, or a client waits for the result of one."""
        service = self._service
        return self._server.has_goals or (service is not None and bool(service.running or service.waiting))

    def end(self) -> None:
        """Interrupt what loads, end all goals and shut down. For a thread that is not the executor's."""
        self._interrupt.set()
        self._server.end_running(SHUTDOWN)
        while lifecycle_state(self) != 'finalized':
            try:
                self.trigger_shutdown()
            except RuntimeError:  # another transition is under way, and now a short one
                sleep(0.01)

    def set_parameters(self, parameter_list: Sequence[Parameter[Any]]) -> list[SetParametersResult]:
        """Set each parameter by itself, as `set_parameters_atomically` does."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: Sequence[Parameter[Any]]) -> SetParametersResult:
        """Set all or none, after a look at what YAML has made of them; what they are already is no change."""
        try:
            changes = parameters.changes(self, parameter_list)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        result = super().set_parameters_atomically(changes) if changes else SetParametersResult(successful=True)
        if any(change.name == 'backends' for change in changes) and result.successful:
            declare_backends(self, self._is_unconfigured)
        return result

    def destroy_node(self) -> None:
        """Destroy the action, and then all else."""
        if hasattr(self, '_core_log'):
            self._core_log.close()
        if hasattr(self, '_server'):  # rclpy destroys a node, too, whose start values were refused
            self._server.destroy()
        super().destroy_node()

    # --- transitions ----------------------------------------------------------------------------------------

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; FAILURE, with the reason in ~/state, for what the user can mend."""
        model = ''
        try:
            model = model_path(self._value('model'))
            fleet = fleet_config(self)
            service_class = fleet_service_class() if fleet else ChatService
            self._status.loading(one_line(model), 0.0)
            memory = self._value('memory')
            with foreseen('open', model):
                engine = self._open_engine(
                    model, self._value('precision') or None, self._value('backend'),
                    self._value('threads') or None, self._value('max_seq_len') or None,
                    progress=self._on_progress, cancel=self._interrupt, kv_cache=self._value('kv_cache_dtype'),
                    memory=parse_size(memory, 'memory') if memory else None,
                    caches=self._value('kv_caches'), parallel=self._value('parallel'),
                    speculation=self._value('speculation'),
                    draft_model=self._value('draft_model') or None, verify=self._value('verify'))
        except TinyChatError as error:
            return self._fail(str(error))
        except Canceled:
            return self._fail('interrupted while loading')
        options = {'config': fleet} if fleet else {}
        self._use(service_class(engine, self._value('kv_caches'), self._admission, self._server.show, **options))
        give_freed_memory_back()  # reading a tokenizer leaves as much as its size
        self._status.loaded(engine.backend, engine.images is not None)
        self.get_logger().info(f'loaded {one_line(model)}: {engine.precision} on {engine.backend}, '
                               f'{engine.threads} threads, context {engine.context_length}, up to '
                               f'{engine.parallel} goals at the same time')
        return super().on_configure(state)

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Serve; FAILURE, with the reason in ~/state, where http_port cannot be had."""
        assert self._service is not None
        try:
            self._http.open(self._service)
        except TinyChatError as error:
            self._status.set(error=str(error))
            self.get_logger().error(str(error))
            return FAILURE
        self._status.set(error='')
        self._server.open()
        start_checker()  # outside the executor: a goal callback must not wait for a process
        self.get_logger().info('ready')
        return super().on_activate(state)

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reject new goals, end those that wait, and end or finish the one that runs (on_deactivate)."""
        self._server.close('the node was deactivated', self._value('on_deactivate') == 'finish')
        self._http.close()
        self._status.loaded(self._status.message.backend, self._status.message.vision)
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model's memory back."""
        self._unload()
        return super().on_cleanup(state)

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End all goals and give the model's memory back."""
        self._server.close(SHUTDOWN)
        self._http.close()
        self._unload()
        return super().on_shutdown(state)

    @logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Recover: the node is unconfigured again."""
        self._server.close('the node has failed')
        self._http.close()
        self._unload('a transition has failed; see the log')
        return SUCCESS

    def _start(self) -> None:
        self._autostart.cancel()
        has_failed = triggered(self.trigger_configure) != SUCCESS or triggered(self.trigger_activate) != SUCCESS
        if has_failed and self._value('exit_on_failure'):
            self._give_up()

    def _fail(self, error: str) -> TransitionCallbackReturn:
        self._status.unconfigured(error)
        self.get_logger().error(error)
        return FAILURE

    def _use(self, service: ChatService | None) -> None:
        self._service = self._server.service = self._diagnostics.service = service
        self._queries.service = self._questions.service = service

    def _unload(self, error: str = '') -> None:
        service = self._service
        self._use(None)
        if service is not None:
            service.close()
            del service
            give_freed_memory_back()
        self._status.unconfigured(error)

    def _is_unconfigured(self) -> bool:
        return self._status.state in (State.UNCONFIGURED, State.ERROR)

    def _admission(self) -> Admission:
        return Admission(self._value('busy_policy'), self._value('queue_depth'))

    def _on_progress(self, fraction: float) -> None:
        now = monotonic()
        if now - self._progress_shown > 0.1:
            self._progress_shown = now
            self._status.loading(self._status.message.model, fraction)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value


def main(args: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    return run(lambda give_up: ChatNode(give_up=give_up), args, lambda node: node.is_busy)


if __name__ == '__main__':
    sys.exit(main())
