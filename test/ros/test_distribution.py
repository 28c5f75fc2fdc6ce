# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What differs between distributions."""

from __future__ import annotations

import pytest

from tinychat_ros.distribution import result_timeout


@pytest.mark.parametrize(('distribution', 'seconds'), [
    ('humble', 900), ('iron', 900), ('jazzy', 10), ('kilted', 10), ('rolling', 10), (None, 10)])
def test_results_outlive_a_long_answer_where_they_are_counted_from_acceptance(distribution: str | None,
                                                                              seconds: int) -> None:
    assert result_timeout({} if distribution is None else {'ROS_DISTRO': distribution}) == seconds
