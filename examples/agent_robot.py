#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A small simulated robot for the agent: it drives, has a battery, a light and a gripper, and draws its track.

    python3 agent_robot.py --track track.svg
    ros2 launch tinychat_ros agent.launch.py tools_file:=agent_tools.yaml
    ros2 action send_goal --feedback /tinychat_agent/task tinychat_interfaces/action/Task \
        "{instruction: 'Drive two metres ahead, then switch the light on.'}"
"""

from __future__ import annotations

import argparse
from contextlib import suppress
import math
from pathlib import Path
from time import monotonic

from geometry_msgs.msg import PoseStamped, Twist
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import BatteryState
from std_srvs.srv import SetBool

PERIOD = 0.05  # [s] of the simulation
SILENCE = 0.5  # [s] after the last cmd_vel, the robot stops by itself, as real bases do
METRE_COST = 0.01  # of the battery
SCALE, MARGIN = 60, 0.6  # of the picture: pixels per metre, and metres around the track


class Robot(Node):
    """The robot; x points ahead at the start, y to the left [m], the heading is counterclockwise [rad]."""

    def __init__(self, track: Path | None) -> None:
        """Start at the origin; draw the track to a file whenever the robot stops or switches something."""
        super().__init__('robot')
        self.x = self.y = self.heading = 0.0
        self.battery = 0.8
        self.is_lit = self.holds = False
        self._track_file = track
        self._track = [(0.0, 0.0)]
        self._marks: list[tuple[float, float, str]] = []
        self._velocity, self._heard = Twist(), 0.0
        self._moves = False
        self._poses = self.create_publisher(PoseStamped, 'pose', 10)
        self._batteries = self.create_publisher(BatteryState, 'battery', 10)
        self.create_subscription(Twist, 'cmd_vel', self._on_velocity, 10)
        self.create_service(SetBool, 'light', self._on_light)
        self.create_service(SetBool, 'gripper', self._on_gripper)
        self.create_timer(PERIOD, self._step)
        self.draw()

    def _on_velocity(self, message: Twist) -> None:
        self._velocity, self._heard = message, monotonic()

    def _on_light(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.is_lit = request.data
        return self._switched('light on' if request.data else 'light off', response)

    def _on_gripper(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.holds = request.data
        return self._switched('gripper closed' if request.data else 'gripper open', response)

    def _switched(self, what: str, response: SetBool.Response) -> SetBool.Response:
        self.get_logger().info(f'{what} at x={self.x:.2f} y={self.y:.2f}')
        self._marks.append((self.x, self.y, what))
        self.draw()
        response.success, response.message = True, what
        return response

    def _step(self) -> None:
        """Move for one period, and tell where the robot is."""
        speed, turn = self._velocity.linear.x, self._velocity.angular.z
        if monotonic() - self._heard > SILENCE or self.battery <= 0:
            speed = turn = 0.0
        self.heading += turn * PERIOD
        self.x += speed * PERIOD * math.cos(self.heading)
        self.y += speed * PERIOD * math.sin(self.heading)
        self.battery = max(0.0, self.battery - abs(speed) * PERIOD * METRE_COST)
        moves = bool(speed or turn)
        if moves:
            self._track.append((self.x, self.y))
        elif self._moves:
            self.get_logger().info(f'stopped at x={self.x:.2f} y={self.y:.2f} '
                                   f'heading={math.degrees(self.heading):.0f} degrees')
            self.draw()
        self._moves = moves
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = self.get_clock().now().to_msg(), 'odom'
        pose.pose.position.x, pose.pose.position.y = self.x, self.y
        pose.pose.orientation.z, pose.pose.orientation.w = math.sin(self.heading / 2), math.cos(self.heading / 2)
        self._poses.publish(pose)
        self._batteries.publish(BatteryState(percentage=self.battery, present=True))

    def draw(self) -> None:
        """Write the track as SVG: the line, where something was switched, and the robot as an arrow."""
        if self._track_file is not None:
            self._track_file.write_text(self.picture())

    def picture(self) -> str:
        """Return the SVG, with ahead to the right and left at the top."""
        xs, ys = [x for x, _ in self._track], [y for _, y in self._track]
        left, top = min(xs) - MARGIN, max(ys) + MARGIN
        width, height = (max(xs) - left + 3) * SCALE, (top - min(ys) + MARGIN) * SCALE

        def pixel(x: float, y: float) -> tuple[float, float]:
            return round((x - left) * SCALE, 1), round((top - y) * SCALE, 1)

        def points(places: list[tuple[float, float]]) -> str:
            return ' '.join('{},{}'.format(*pixel(*place)) for place in places)

        grid = [f'<path d="M{pixel(i, 0)[0]} 0V{height:.0f}M0 {pixel(0, i)[1]}H{width:.0f}"/>' for i in range(-50, 51)]
        arrow = [(self.x + length * math.cos(self.heading + angle), self.y + length * math.sin(self.heading + angle))
                 for angle, length in ((0.0, 0.22), (2.5, 0.2), (-2.5, 0.2))]
        marks = []
        for i, (x, y, what) in enumerate(self._marks):
            column, row = pixel(x, y)
            marks.append(f'<circle cx="{column}" cy="{row}" r="5" fill="#e8a400"/>'
                         f'<text x="{column + 14}" y="{row - 10 - 14 * i}">{what}</text>')
        where = f'x={self.x:.2f} m, y={self.y:.2f} m, battery {self.battery:.0%}; one square is 1 m'
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
                'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
                f'<g stroke="#ddd">{"".join(grid)}</g>'
                f'<polyline points="{points(self._track)}" fill="none" stroke="#2266cc" stroke-width="3"/>'
                f'<polygon points="{points(arrow)}" fill="#2266cc"/>{"".join(marks)}'
                f'<text x="8" y="16">{where}</text></svg>\n')


def main() -> None:
    """Simulate until Ctrl-C."""
    parser = argparse.ArgumentParser(description='A simulated robot for the agent.')
    parser.add_argument('--track', type=Path, metavar='FILE', help='SVG file for the track')
    arguments = parser.parse_args(remove_ros_args()[1:])
    rclpy.init()
    robot = Robot(arguments.track)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(robot)
    robot.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
