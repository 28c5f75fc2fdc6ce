# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics, once a second. Never any text of a prompt."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from tinychat_core.errors import CheckpointError
from tinychat_core.resident_memory import resident_bytes
from tinychat_core.serving.backend_status import BackendStatus
from tinychat_core.serving.chat_service import ChatService
from tinychat_ros.hardware_monitor import HardwareMonitor
from tinychat_ros.interfaces import State
from tinychat_ros.shared_memory import other_users
from tinychat_ros.status import Status

STATES = {State.UNCONFIGURED: 'unconfigured', State.LOADING: 'loading', State.INACTIVE: 'inactive',
          State.IDLE: 'idle', State.BUSY: 'busy', State.ERROR: 'error'}


class Diagnostics:
    """Reports on `service`, the loaded model, or None."""

    def __init__(self, node: Node, status: Status, group: CallbackGroup, hardware: HardwareMonitor) -> None:
        """Begin to report."""
        self.service: ChatService | None = None
        self._node = node
        self._status = status
        self._hardware = hardware
        self._told: list[str] = []  # of whom the log has been told
        self._publisher = node.create_publisher(
            DiagnosticArray, '/diagnostics', QoSProfile(depth=10),
            qos_overriding_options=QoSOverridingOptions.with_default_policies())
        # A second is a second also where time is simulated.
        node.create_timer(1.0, self._publish, group, Clock(clock_type=ClockType.STEADY_TIME))

    def _publish(self) -> None:
        service = self.service
        backends = [] if service is None else service.backend_status()
        array = DiagnosticArray(status=[self._report(), *map(self._backend_report, backends)])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _report(self) -> DiagnosticStatus:
        state = self._status.message
        values = {'state': STATES[state.state], 'model': state.model, 'loaded [%]': f'{100 * state.load_progress:.0f}',
                  'backend': state.backend,
                  'running goals': len(state.running_goals),
                  'waiting goals': state.queued_goals, 'rejected goals': state.rejected_goals,
                  'last rejection': state.last_rejection,
                  'resident memory [MB]': f'{resident_bytes() / 1e6:.0f}',
                  'available memory [MB]': f'{self._hardware.available_bytes() / 1e6:.0f}'}
        service = self.service  # another thread may set it to None
        if service is not None:
            engine, metrics = service.engine, service.metrics
            values |= {'precision': engine.precision, 'threads': engine.threads,
                       'context length': engine.context_length,
                       'weights [MB]': f'{engine.weights_bytes / 1e6:.0f}',
                       'parallel goals': engine.parallel, 'KV caches': service.kv_caches,
                       'KV caches, full [MB]': f'{service.kv_caches * engine.kv_cache_bytes / 1e6:.0f}',
                       'answers': metrics.answers, 'failed goals': metrics.failed,
                       'tokens/s': f'{metrics.tokens_per_second:.1f}',
                       'time to first token [ms]': f'{1e3 * metrics.time_to_first_token:.1f}'}
        zone = self._hardware.hottest()
        if zone is not None:
            values |= {'hottest zone': zone.name, 'temperature [°C]': f'{zone.temperature:.0f}'}
        errors = [state.error] if state.state == State.ERROR else []
        warnings = self._hardware.warnings() + self._unreachable()
        if service is not None:
            failure, warning = _faults(service)
            errors += failure
            warnings += warning
        level = DiagnosticStatus.ERROR if errors else DiagnosticStatus.WARN if warnings else DiagnosticStatus.OK
        return DiagnosticStatus(
            level=level, name=f'{self._node.get_fully_qualified_name()}: language model',
            message='; '.join(errors or warnings) or STATES[state.state],
            hardware_id=state.backend,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])

    def _backend_report(self, backend: BackendStatus) -> DiagnosticStatus:
        values = {'state': backend.state, 'last error': backend.last_error, 'running goals': backend.running,
                  'answers': backend.answers, 'failures': backend.failures,
                  'time to first token [ms]': f'{1e3 * backend.time_to_first_token:.1f}'}
        return DiagnosticStatus(
            level=DiagnosticStatus.OK if backend.state == 'up' else DiagnosticStatus.WARN,
            name=f'{self._node.get_fully_qualified_name()}: backend {backend.name}',
            message=backend.state if backend.state != 'failing' else f'failing: {backend.last_error}',
            hardware_id=backend.url, values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])

    def _unreachable(self) -> list[str]:
        users = other_users(self._node.context.get_domain_id())
        warnings = [f'ROS processes of {", ".join(users)} run on this machine and cannot exchange messages with this '
                    'node through shared memory: run both as the same user, or start the node with '
                    'FASTDDS_BUILTIN_TRANSPORTS=UDPv4'] * bool(users)
        if users != self._told and users:
            self._node.get_logger().warning(warnings[0])
        self._told = users
        return warnings


def _faults(service: ChatService) -> tuple[list[str], list[str]]:
    """Return why goals fail (the model's files, or else what the last one failed of), and what else is to be known."""
    try:
        warning = service.engine.check_files()
    except CheckpointError as error:
        return [str(error)], []
    return [service.metrics.failure] * bool(service.metrics.failure), [warning] * bool(warning)
