# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The service of a machine that has other backends besides its own model; doors use it like a ChatService."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
import logging
from threading import Condition
from time import monotonic
from uuid import UUID, uuid4

from tinychat_core.engine import Engine
from tinychat_core.errors import one_line
from tinychat_core.remote.backend import Backend, LocalBackend, RemoteBackend
from tinychat_core.remote.config import FleetConfig
from tinychat_core.remote.event_loop import EventLoop
from tinychat_core.remote.goal import Goal
from tinychat_core.remote.shared_image import with_shared_images
from tinychat_core.serving.backend_status import BackendStatus
from tinychat_core.serving.chat_handle import ChatHandle, Listener
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.requests import ChatRequest, Refusal, RefusalReason, Request
from tinychat_core.serving.results import ChatResult, Ending, ErrorCode, LOCAL, Queued

_LOG = logging.getLogger(__name__)


class FleetService(ChatService):
    """
    Decides for each request which backend answers it; the requests of this machine's model go to ChatService.

    Requests of one conversation run one after another, so that each knows the answer before it. Everything about a
    request happens in one event loop; `submit` and the ends of requests hand over to it.
    """

    def __init__(self, engine: Engine, kv_caches: int, admission: Callable[[], Admission],
                 on_change: Callable[[], None], config: FleetConfig) -> None:
        """See ChatService; `config` says which other backends there are."""
        super().__init__(engine, kv_caches, admission, on_change)
        self._config = config
        self._loop = EventLoop('backends')
        self._remotes = {name: RemoteBackend(config.remotes[name], self._tell_of_change)
                         for name in config.order if name != LOCAL}
        self._local = LocalBackend(self._submit_locally)
        self._goals_changed = Condition()  # guards the two below
        self._goals: dict[ChatHandle, Goal] = {}  # accepted requests that have not ended
        self._is_serving = False
        self._tasks: dict[ChatHandle, asyncio.Task[ChatResult]] = {}  # these belong to the loop
        self._talks: dict[str, deque[Goal]] = {}  # conversation -> the goal that runs, and those after it
        self._timers: dict[ChatHandle, asyncio.TimerHandle] = {}
        self._watchers: list[asyncio.Future[None]] = []

    @property
    def running(self) -> list[ChatHandle]:
        """The running requests, wherever they run."""
        with self._goals_changed:
            goals = [handle for handle, goal in self._goals.items() if goal.has_begun and not goal.is_over]
        return goals + [handle for handle in super().running if not isinstance(handle.request, ChatRequest)]

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        with self._goals_changed:
            return sum(not (goal.has_begun or goal.is_over) for goal in self._goals.values())

    @property
    def is_open(self) -> bool:
        """Whether requests are accepted, if there is room."""
        return self._is_serving

    @property
    def backends(self) -> list[str]:
        """The names of the backends that can answer now."""
        return [name for name in self._config.order if name == LOCAL or (
            name in self._remotes and self._remotes[name].is_available)]

    def backend_status(self) -> list[BackendStatus]:
        """Return what is known about the remote backends."""
        return [remote.status() for remote in self._remotes.values()]

    def open(self) -> None:
        """Accept requests, and watch the remote backends."""
        super().open()
        with self._goals_changed:
            self._is_serving = True
        self._loop.call(self._watch)

    def stop(self, why: str, finish_running: bool = False) -> None:
        """Refuse new requests, end the waiting ones and, without `finish_running`, the running ones; wait for them."""
        with self._goals_changed:
            self._is_serving = False
            goals = [*self._goals.items()]
        ending = Ending.aborted(ErrorCode.DEACTIVATED, why)
        for handle, goal in goals:
            if not (finish_running and goal.has_begun):
                self._end_goal(handle, ending)
        with self._goals_changed:
            self._goals_changed.wait_for(lambda: not self._goals)
        self._loop.call(self._stop_watching)
        super().stop(why, finish_running)

    def end_running(self, why: str) -> None:
        """Tell the running requests to end, without waiting for it."""
        for handle in self.running:
            self._end_goal(handle, Ending.aborted(ErrorCode.DEACTIVATED, why))
        for handle in self._scheduler.running:
            if not isinstance(handle.request, ChatRequest):
                self._end_running(handle, Ending.aborted(ErrorCode.DEACTIVATED, why))

    def close(self) -> None:
        """Stop, and release the memory and the connections; the service must not be used afterwards."""
        super().close()
        self._loop.run(self._close_remotes())
        self._loop.close()
        self._remotes = {}
        del self._local  # breaks a reference cycle; this holds a model

    def check(self, request: Request) -> None:
        """Raise Refusal if `submit` would raise it now. Reserves nothing."""
        if not isinstance(request, ChatRequest):  # decisions and embeddings are this machine's
            return super().check(request)
        if not self._is_serving:
            raise Refusal(RefusalReason.INACTIVE, 'no requests are accepted')
        remotes = [] if request.local_only else [*self._remotes.values()]
        if any(not remote.refusal(request) for remote in remotes):
            return
        if request.local_only or LOCAL in self._config.order:
            super().check(request)
        elif any(remote.is_full for remote in remotes):
            raise Refusal(RefusalReason.QUEUE_FULL, 'every backend has as many requests as it may have')

    def submit(self, request: Request, listener: Listener, request_id: UUID | None = None, *,
               is_accepted: bool = False) -> ChatHandle:
        """See ChatService."""
        if not isinstance(request, ChatRequest):
            return super().submit(request, listener, request_id, is_accepted=is_accepted)
        if not is_accepted:
            self.check(request)
        request = with_shared_images(request)
        handle = ChatHandle(request, request_id or uuid4(), listener, self._end_goal)
        goal = self._goal(handle)
        with self._goals_changed:
            is_serving = self._is_serving
            if is_serving:
                self._goals[handle] = goal
        if is_serving:
            self._loop.call(self._accept, goal)
            self._tell_of_change()
        else:
            ending = Ending.aborted(ErrorCode.DEACTIVATED, 'no requests are accepted any more')
            handle.finish(goal.answer.cut_off(ending))
        return handle

    # --- ends, from any thread ------------------------------------------------------------------------------

    def _end_goal(self, handle: ChatHandle, ending: Ending) -> bool:
        """End a waiting or running request; return False for one that has ended or is ending by itself."""
        with self._goals_changed:
            goal = self._goals.get(handle)
            if goal is None or goal.is_over:
                return False
            handle.end_early(ending)
        self._loop.call(self._interrupt, handle)
        return True

    # --- in the event loop ----------------------------------------------------------------------------------

    def _accept(self, goal: Goal) -> None:
        """Start a goal, or let it wait for the goals of its conversation."""
        handle, name = goal.handle, goal.handle.request.conversation_id
        if handle.request.time_limit > 0:
            message = f'the time limit of {handle.request.time_limit:g} s is over'
            left = handle.accepted_at + handle.request.time_limit - monotonic()
            self._timers[handle] = asyncio.get_running_loop().call_later(
                max(left, 0), self._end_goal, handle, Ending.aborted(ErrorCode.TIME_LIMIT, message))
        talk = self._talks.setdefault(name, deque()) if name else deque()
        talk.append(goal)
        if len(talk) > 1 and not handle.cancel_flag.is_set():
            handle.emit(Queued(len(talk) - 1))
        else:
            self._start(goal)

    def _start(self, goal: Goal) -> None:
        if goal.handle.cancel_flag.is_set():  # it has ended before it could start
            self._finish_goal(goal, goal.answer.cut_off(goal.handle.early_ending))
            return
        self.conversations.claim(goal.handle.request.conversation_id)
        task = asyncio.ensure_future(goal.run())
        self._tasks[goal.handle] = task
        task.add_done_callback(lambda done: self._on_done(goal, done))

    def _interrupt(self, handle: ChatHandle) -> None:
        task = self._tasks.get(handle)
        if task is not None:
            task.cancel()
            return
        goal = self._goals.get(handle)
        if goal is not None and goal in self._talks.get(handle.request.conversation_id, ()):
            self._finish_goal(goal, goal.answer.cut_off(handle.early_ending))

    def _on_done(self, goal: Goal, task: asyncio.Task[ChatResult]) -> None:
        handle, request = goal.handle, goal.handle.request
        del self._tasks[handle]
        if task.cancelled():
            result = goal.answer.cut_off(handle.early_ending)
        elif task.exception() is not None:
            error = task.exception()
            _LOG.error(one_line(f'a request has failed: {error!r}'), exc_info=error)
            result = goal.answer.cut_off(Ending.aborted(ErrorCode.BACKEND_FAILED, f'the service failed: {error!r}'))
        else:
            result = task.result()
        if goal.keeps_turn and (result.text or result.tool_calls):
            self.conversations.add_turn(request, result.text, result.tool_calls)
        self.conversations.end(request, None, has_failed=False)
        self._finish_goal(goal, result)

    def _finish_goal(self, goal: Goal, result: ChatResult) -> None:
        handle, name = goal.handle, goal.handle.request.conversation_id
        with self._goals_changed:
            goal.is_over = True
            if handle.cancel_flag.is_set():  # `cancel` has returned True
                result = goal.answer.with_ending(result, handle.early_ending)
        if result.served_by not in ('', LOCAL) or result.error_code is ErrorCode.REMOTE_FAILED:
            self.metrics.count(result)
        if handle in self._timers:
            self._timers.pop(handle).cancel()
        self._tell_of_change()
        handle.finish(result)
        with self._goals_changed:
            del self._goals[handle]
            self._goals_changed.notify_all()
        self._start_next(goal, name)

    def _start_next(self, ended: Goal, conversation_id: str) -> None:
        talk = self._talks.get(conversation_id)
        if talk is None:
            return
        was_first = bool(talk) and talk[0] is ended
        if ended in talk:
            talk.remove(ended)
        if not talk:
            del self._talks[conversation_id]
        elif was_first:
            self._start(talk[0])

    def _watch(self) -> None:
        if not self._watchers:
            self._watchers = [asyncio.ensure_future(remote.watch()) for remote in self._remotes.values()]

    def _stop_watching(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        self._watchers = []

    async def _close_remotes(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for remote in self._remotes.values():
            await remote.close()

    # --- the way of a goal ----------------------------------------------------------------------------------

    def _goal(self, handle: ChatHandle) -> Goal:
        config, request = self._config, handle.request
        return Goal(
            handle, self._candidates, lambda: self.conversations.dialogue(request),
            hedge_delay=config.hedge_delay if config.policy == 'hedge' else None,
            remote_limit=self._remote_limit(), continuing=self._local if config.continue_locally else None,
            on_begin=self._tell_of_change)

    def _remote_limit(self) -> float | None:
        """Return how long all remote backends together may take to the first token, where this machine can step in."""
        if LOCAL not in self._config.order:
            return None
        return max((remote.config.first_token_timeout for remote in self._remotes.values()), default=None)

    def _candidates(self, goal: Goal) -> Iterator[Backend]:
        """Yield the backends to ask, each when its turn comes. If no other one answers, LOCAL need not have room."""
        request = goal.handle.request
        order = [LOCAL] if request.local_only else [*self._config.order]
        if self._config.policy == 'offload' and LOCAL in order:
            is_long = super().waiting > self._config.offload_queue
            order.remove(LOCAL)
            order = [*order, LOCAL] if is_long else [LOCAL, *order]
        was_local_full = False
        for i, name in enumerate(order):
            if name != LOCAL:
                if not self._remotes[name].refusal(request):
                    yield self._remotes[name]
            elif self._has_room(request) or (i == len(order) - 1 and not goal.is_trying):
                yield self._local
            else:
                was_local_full = True
        if was_local_full and not goal.is_trying:
            yield self._local

    def _has_room(self, request: ChatRequest) -> bool:
        try:
            super().check(request)
        except Refusal:
            return False
        return True

    def _submit_locally(self, request: ChatRequest, listener: Listener) -> ChatHandle:
        return super().submit(request, listener, is_accepted=True)
