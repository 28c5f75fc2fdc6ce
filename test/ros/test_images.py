# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Images of goals: those they carry and frames of topics reach the model in order; what is wrong with one is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
import signal
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image as Pillow
from processes import Process
import pytest
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from robot import Robot
from scripted_engine import ScriptedEngine
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
from waiting import wait_for

from tinychat_core.serving.results import DecisionResult, Finished, FinishReason, TextDelta
from tinychat_ros.chat_client import arguments, goal_of
from tinychat_ros.interfaces import Chat, Decide, GetModelInfo, Message


class SeeingEngine(ScriptedEngine):
    """Notes the pixels that it is shown, one list for each request."""

    def __init__(self) -> None:
        super().__init__()
        self.images = SimpleNamespace(count=lambda width, height: width // 10 + height // 10)
        self.seen: list[list[list[int]]] = []

    def encode_images(self, images: Sequence[Any], cancel: Any = None) -> list[Any]:
        """Note the first pixel of each."""
        self.seen.append([image.pixels[0, 0].tolist() for image in images])
        return [SimpleNamespace(rows=np.zeros((1, 1))) for _ in images]


@pytest.fixture
def engine() -> SeeingEngine:
    """Return the engine of the robots."""
    return SeeingEngine()


def raw(red: int) -> Image:
    return Image(width=2, height=1, encoding='rgb8', step=6, data=[red, 0, 0] * 2)


def png(red: int) -> CompressedImage:
    file = BytesIO()
    Pillow.fromarray(np.full((4, 4, 3), (red, 0, 0), np.uint8)).save(file, 'PNG')
    return CompressedImage(format='png', data=file.getvalue())


@pytest.fixture
def camera(robot: Robot) -> Iterator[Callable[..., None]]:
    """Return a function that publishes messages on a topic, as cameras do, until the end."""
    timers = []

    def begin(topic: str, kind: type[Any], make: Callable[[], Any]) -> None:
        publisher = robot.client_node.create_publisher(kind, topic, qos_profile_sensor_data)
        timers.append(robot.client_node.create_timer(0.01, lambda: publisher.publish(make())))

    yield begin
    for timer in timers:
        timer.cancel()


def test_images_are_numbered_across_the_three_fields(robot: Robot, engine: SeeingEngine,
                                                     camera: Callable[..., None]) -> None:
    camera('front', Image, lambda: raw(5))
    camera('back', CompressedImage, lambda: png(6))
    _, result = robot.send(images=[raw(1), raw(2)], compressed_images=[png(3)],
                           image_topics=['front', 'back']).result()
    assert result.finish_reason == 'stop', result.error_msg
    assert [[red for red, *_ in pixels] for pixels in engine.seen] == [[1, 2, 3, 5, 6]]


def test_a_decision_shows_the_same(robot: Robot, engine: SeeingEngine, camera: Callable[..., None]) -> None:
    camera('door', Image, lambda: raw(5))
    fields = {'images': [raw(1)], 'compressed_images': [png(3)], 'image_topics': ['door']}
    robot.call(Decide, 'decide', Decide.Request(question='open?', **fields))
    robot.call(Decide, 'decide', Decide.Request(messages=[
        Message(role='user', content='open?', images=[2, 0]), Message(role='assistant', content='yes'),
        Message(role='user', content='sure?', images=[1])], **fields))
    assert [[red for red, *_ in pixels] for pixels in engine.seen] == [[1, 3, 5], [5, 1, 3]]


def test_messages_name_their_images(robot: Robot, engine: SeeingEngine) -> None:
    messages = [Message(role='user', content='a', images=[1]), Message(role='assistant', content='b'),
                Message(role='user', content='c', images=[0, 1])]
    assert robot.send('', messages=messages, images=[raw(1), raw(2)]).result()[1].finish_reason == 'stop'
    assert [[red for red, *_ in pixels] for pixels in engine.seen] == [[2, 1, 2]]


@pytest.mark.parametrize(('goal', 'reason'), [
    ({'messages': [Message(role='user', content='a', images=[1])], 'images': [raw(1)]},
     'messages[0].images names image 1, but the goal has 1; they are counted from 0'),
    ({'messages': [Message(role='user', content='a')], 'images': [raw(1)]}, 'no message names image 0'),
    ({'messages': [Message(role='assistant', content='a', images=[0])], 'images': [raw(1)]},
     "only a message of role 'user'"),
    ({'prompt': 'a', 'image_topics': ['no topic']}, "image_topics[0] = 'no topic' is not the name of a topic"),
    ({'prompt': 'a', 'image_topics': ['front', '{nothing}']},
     "image_topics[1] = '{nothing}' is not the name of a topic"),
    ({'prompt': 'a', 'images': [raw(1)] * 65}, '65 images, more than the limit of 64'),
])
def test_an_impossible_goal_is_rejected_with_its_reason(robot: Robot, goal: dict[str, Any], reason: str) -> None:
    assert not robot.send(**{'prompt': '', **goal}).handle.accepted
    wait_for(lambda: reason in robot.states[-1].last_rejection)


@pytest.mark.parametrize(('goal', 'reason'), [
    ({'images': [Image()]}, "images[0] has the encoding ''"),
    ({'images': [raw(1), Image(width=9, height=9, encoding='rgb8', step=3)]}, 'images[1] has a step of 3 bytes'),
    ({'compressed_images': [CompressedImage(data=b'nothing')]}, 'compressed_images[0] is not a JPEG'),
])
def test_a_damaged_image_aborts_its_goal_and_the_node_serves_on(robot: Robot, goal: dict[str, Any],
                                                                reason: str) -> None:
    _, result = robot.send(**goal).result()
    assert result.error_code == Chat.Result.INVALID_GOAL and reason in result.error_msg
    assert robot.send(images=[raw(1)]).result()[1].finish_reason == 'stop'


def test_a_model_without_eyes_rejects_images(robot: Robot, engine: SeeingEngine) -> None:
    engine.images = None
    assert not robot.send(images=[raw(1)]).handle.accepted
    wait_for(lambda: 'images: the model sees none' in robot.states[-1].last_rejection)


def test_a_silent_camera_ends_the_goal_in_time(robot: Robot) -> None:
    robot.set_parameter('image_timeout', 0.3)
    _, result = robot.send(image_topics=['nothing_here']).result()
    assert result.error_code == Chat.Result.NO_IMAGE
    assert 'nothing_here: nobody publishes it within 0.3 s' in result.error_msg
    silent = robot.client_node.create_publisher(Image, 'silent', qos_profile_sensor_data)
    wait_for(lambda: robot.node.count_publishers(silent.topic_name))
    _, result = robot.send(image_topics=['silent']).result()
    assert result.error_code == Chat.Result.NO_IMAGE and 'silent: no frame came within 0.3 s' in result.error_msg


def test_a_topic_of_another_type_is_told(robot: Robot) -> None:
    words = robot.client_node.create_publisher(String, 'words', 10)
    wait_for(lambda: robot.node.count_publishers(words.topic_name))
    _, result = robot.send(image_topics=['words']).result()
    assert result.error_code == Chat.Result.NO_IMAGE and 'words has the type std_msgs/msg/String' in result.error_msg


def test_a_cancel_does_not_wait_for_a_camera(robot: Robot) -> None:
    robot.set_parameter('image_timeout', 60.0)
    goal = robot.send(image_topics=['nothing_here'])
    goal.told(1)
    goal.cancel()
    assert goal.result()[1].finish_reason == 'canceled'


def test_the_frame_is_newer_than_the_goal_and_nobody_listens_after_it(robot: Robot, engine: SeeingEngine,
                                                                      camera: Callable[..., None]) -> None:
    count = iter(range(1, 1_000_000))
    newest = [0]

    def frame() -> Image:
        newest[0] = next(count)
        return Image(width=1, height=1, encoding='rgb8', step=3, data=[newest[0] // 256, newest[0] % 256, 0])

    camera('counting', Image, frame)
    for _ in range(3):
        before = newest[0]
        assert robot.send(image_topics=['counting']).result()[1].finish_reason == 'stop'
        high, low, _ = engine.seen[-1][0]
        assert 256 * high + low > before
    wait_for(lambda: robot.client_node.count_subscribers('counting') == 0)


def test_the_node_says_that_it_sees(robot: Robot) -> None:
    info = robot.call(GetModelInfo, 'get_model_info', GetModelInfo.Request())
    assert info.vision and info.image_tokens == 112
    assert robot.states[-1].vision


def test_the_client_sends_files() -> None:
    options = arguments().parse_args(['--image', 'door.png', 'What?'])
    assert options.image == ['door.png']
    goal = goal_of(SimpleNamespace(**{**vars(options), 'conversation': ''}), 'What?', [png(1)])
    assert len(goal.compressed_images) == 1


def test_a_topic_that_lingers_gives_its_newest_frame_at_once(robot: Robot, engine: SeeingEngine) -> None:
    """After the first goal the camera sends three frames in a row and then stops: the last one is fresh for a while."""
    robot.set_parameter('image_topic_linger', 60.0)
    publisher = robot.client_node.create_publisher(Image, 'front', qos_profile_sensor_data)
    first = robot.send(image_topics=['front'])
    wait_for(publisher.get_subscription_count)
    wait_for(lambda: engine.seen or publisher.publish(raw(1)))
    assert first.result()[1].finish_reason == 'stop' and publisher.get_subscription_count() == 1
    feed = next(iter(robot.node._server.topics._feeds.values()))
    for red in (2, 3):
        publisher.publish(raw(red))
        wait_for(lambda red=red: feed._data and deserialize_message(feed._data, Image).data[0] == red)
    feed._period = 60.0  # of a slow camera: its frame is not old
    assert robot.send(image_topics=['front']).result()[1].finish_reason == 'stop'
    assert engine.seen == [[[1, 0, 0]], [[3, 0, 0]]]
    feed._period = 0.0
    robot.set_parameter('image_timeout', 0.3)
    assert robot.send(image_topics=['front']).result()[1].error_code == Chat.Result.NO_IMAGE  # the frame is old
    robot.set_parameter('image_topic_linger', 0.0)
    wait_for(lambda: publisher.get_subscription_count() == 0)


EXAMPLES = Path(__file__).parents[2] / 'examples'


@pytest.fixture
def example(robot: Robot) -> Iterator[Callable[[str], Process]]:
    """Return a function that starts an example about the camera `front`, beside the robot."""
    started: list[Process] = []

    def begin(name: str) -> Process:
        started.append(Process(sys.executable, str(EXAMPLES / name), '--ros-args', '-r',
                               f'__ns:={robot.node.get_namespace()}', '-p', 'image_topic:=front'))
        return started[-1]

    yield begin
    for process in started:
        process.send_signal(signal.SIGINT)
        assert process.ends() == 0, process.output


def test_the_example_captions_a_camera(robot: Robot, engine: SeeingEngine, camera: Callable[..., None],
                                       example: Callable[[str], Process]) -> None:
    engine.context_length = 1000
    captions: list[str] = []
    robot.client_node.create_subscription(String, 'caption', lambda message: captions.append(message.data), 10)
    camera('front', Image, lambda: raw(5))
    example('camera_caption.py')
    wait_for(lambda: len(captions) >= 2, 60)
    assert captions[0] == 'Robots need maps.' and engine.seen[0] == [[5, 0, 0]]


def test_the_example_says_whether_the_door_is_open(robot: Robot, example: Callable[[str], Process]) -> None:
    """The node answers from a list: sure, not sure, sure."""
    asked: list[Any] = []
    answers = [[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]]

    def decide(service: Any, probabilities: list[float]) -> Any:
        asked.append((service.question.prompt, [image._topic for image in service.question.images], service.options))
        return DecisionResult('', FinishReason.STOP, best=int(np.argmax(probabilities)),
                              probabilities=tuple(probabilities))

    def submit(request: Any, listener: Any, *_: Any, **__: Any) -> None:
        listener(Finished(TextDelta(0, 0, ''), decide(request, answers[min(len(asked), 2)])))

    robot.node._questions.service.submit = submit
    doors: list[bool] = []
    robot.client_node.create_subscription(Bool, 'door_is_open', lambda message: doors.append(message.data), 10)
    example('door_watch.py')
    wait_for(lambda: len(doors) >= 2, 60)
    assert doors[:2] == [True, False]
    namespace = robot.node.get_namespace()
    assert asked[0] == ('Is the door open? Answer yes or no.', [f'{namespace}/front'], ('Yes', 'No'))
