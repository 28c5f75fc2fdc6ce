# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""With autostart:=false a lifecycle manager starts the node."""

from __future__ import annotations

from launch import LaunchDescription
from launched import launched, WithClient
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
import pytest


@pytest.mark.launch_test
def generate_test_description() -> LaunchDescription:
    return launched(autostart='false')


class TestLifecycle(WithClient):

    def test_it_waits_for_its_manager(self) -> None:
        state = self.call(GetState, 'get_state', GetState.Request()).current_state.label
        assert state == 'unconfigured'
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert self.call(ChangeState, 'change_state', request).success
        assert 'Paris' in self.ask('What is the capital of France?').text
