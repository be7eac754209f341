"""The engine: one thread that advances all trainings of a device, in groups where possible.

Callers request a number of updates and wait, each in a thread of its own. Trainings of one
structure share a group (see `group`); the others take turns with the groups. All work on the device
is done here, in chunks: trainings join and leave between chunks.
"""

from __future__ import annotations

import math
import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import torch

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError
from gansearch.family import Metrics
from gansearch.grouping.graphs import Lane
from gansearch.grouping.group import Group
from gansearch.grouping.structure import structure_of
from gansearch.networks.models import is_dense
from gansearch.system.failures import is_lack_of_memory
from gansearch.training.examples import Examples
from gansearch.training.training import AdversarialTraining

# Updates of D in a chunk: on a GPU enough to outweigh its preparation, on a CPU few enough that
# trainings seldom wait for each other.
TICKS = {"cuda": 32, "cpu": 8}
_TURN_SECONDS = 0.1  # of a training that shares no group
# A trial's group is idle while it is evaluated, and must not have to be recorded again after it.
_MAX_IDLE_GROUPS = 16
_N_LANES = 8  # of a GPU: as many queues as CUDA makes by default


@dataclass
class _Request:
    """A caller waits until a training reaches `updates`, or until its time limit."""

    training: AdversarialTraining
    updates: int
    until: float
    group: Group | None = None
    started: float = field(default_factory=time.monotonic)
    answer: Future[Metrics | None] = field(default_factory=Future)


class Engine:
    """Trains on one device for all callers, until `close`.

    Args:
        dataset: that all trainings learn from.
        device: "cuda" or "cpu".
        n_slots: of a group. Fixed, since results depend on it in their last digits.

    Attributes:
        examples: of the data set, shared by all trainings.
    """

    def __init__(self, dataset: Dataset, device: str, *, n_slots: int) -> None:
        self.examples = Examples(dataset, device)
        self._dataset = dataset
        self._device = device
        self._n_slots = n_slots
        self._n_ticks = TICKS[device]
        self._asked: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._active: list[_Request] = []
        self._groups: dict[TrialConfig, list[Group]] = {}
        self._lanes = [Lane() for _ in range(_N_LANES)] if device == "cuda" else []
        self._closing = threading.Lock()
        self._is_closed = False
        self._is_short_of_memory = False
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    def build(self, config: TrialConfig, seed: int) -> AdversarialTraining:
        """Return a new training that shares this engine's examples."""
        return AdversarialTraining(
            config, self._dataset, seed, device=self._device, examples=self.examples
        )

    def advance(
        self, training: AdversarialTraining, updates: int, *, time_limit_seconds: float = math.inf
    ) -> Metrics | None:
        """Do what `AdversarialTraining.advance` does, together with all other requests.

        Raises:
            DivergedError: as `AdversarialTraining.advance`.
            GansearchError: the engine is closed.
        """
        if self._device == "cuda":
            # The engine uses other streams than its callers.
            torch.cuda.current_stream().synchronize()
        request = _Request(training, updates, time.monotonic() + time_limit_seconds)
        with self._closing:
            if self._is_closed:
                raise GansearchError("engine: it is closed, and trains no more.")
            self._asked.put(request)
        return request.answer.result()

    def close(self) -> None:
        """End the engine's thread; callers that still wait get an error."""
        self._asked.put(None)
        self._thread.join()

    def _serve(self) -> None:
        torch.set_num_threads(1)
        try:
            with self._on_own_stream():
                while self._serve_once():
                    pass
        finally:
            self._refuse_all()

    def _serve_once(self) -> bool:
        """Accept requests and work for all once; False at the end."""
        try:
            if not self._take_requests():
                return False
            self._work()
        except Exception as error:  # of no group alone, such as the loss of the GPU
            self._fail(list(self._active), error)
        return True

    def _on_own_stream(self) -> AbstractContextManager[object]:
        """Return a context that queues work on another stream than the callers' evaluations."""
        if self._device != "cuda":
            return nullcontext()
        return torch.cuda.stream(torch.cuda.Stream())  # type: ignore[no-untyped-call]

    def _refuse_all(self) -> None:
        """Let nobody wait for ever, at the end of the thread."""
        with self._closing:
            self._is_closed = True
        while not self._asked.empty():
            if (request := self._asked.get()) is not None:
                self._active.append(request)
        for request in self._active:
            request.answer.set_exception(GansearchError("engine: it was closed."))

    def _work(self) -> None:
        """Do a chunk of each group and a turn of one other training, and answer who is done."""
        alone = next((request for request in self._active if request.group is None), None)
        if alone is not None:
            # To the end of the queue. The groups go on between the turns of the others.
            self._active.remove(alone)
            self._active.append(alone)
            self._attempt(partial(self._take_turn, alone), [alone])
        for group in self._groups_to_advance(can_wait=alone is None):
            self._attempt(group.advance, [r for r in self._active if r.group is group])
        for request in list(self._active):
            self._attempt(partial(self._settle, request), [request])

    def _groups_to_advance(self, *, can_wait: bool) -> list[Group]:
        """Return the groups that wait for their next chunk, so that none waits for a slower one."""
        groups = list({id(r.group): r.group for r in self._active if r.group}.values())
        ready = [group for group in groups if group.is_ready]
        return ready or (groups[:1] if can_wait else [])

    def _take_requests(self) -> bool:
        """Accept all new requests, waiting if there is nothing else to do; False at the end."""
        if self._is_short_of_memory:
            self._is_short_of_memory = False
            self._drop_idle_groups(0)  # for the next attempt
        while not self._active or not self._asked.empty():
            request = self._asked.get()
            if request is None:
                return False
            self._active.append(request)
            self._attempt(partial(self._place, request), [request])
        return True

    def _attempt(self, work: Callable[[], object], requests: list[_Request]) -> None:
        """Work for some requests; an error is raised in their callers alone."""
        try:
            work()
        except Exception as error:
            self._fail(requests, error)

    def _fail(self, requests: list[_Request], error: Exception) -> None:
        """Raise an error where the callers of some requests wait."""
        for request in requests:
            self._active.remove(request)
            request.answer.set_exception(error)
            if request.group is not None:
                self._forget(request.group)
                request.group = None
        if is_lack_of_memory(error):
            # What the failed attempt holds must be gone before its lane is used again.
            traceback.clear_frames(error.__traceback__)
            self._is_short_of_memory = True

    def _place(self, request: _Request) -> None:
        """Find a slot for a training, unless it can't train in a group."""
        training = request.training
        n_left = training.last_iteration(request.updates) - training.iteration
        structure = structure_of(training.config)
        if structure is None or n_left <= 0 or training.config.k > self._n_ticks:
            return
        if self._device == "cpu" and not is_dense(structure):
            return  # no graph would be recorded of it
        groups = self._groups.pop(structure, [])
        self._groups[structure] = groups  # the last one used comes last
        group = next((group for group in groups if group.has_room), None)
        if group is None:
            self._drop_idle_groups(self._n_idle_kept())
            group = self._make_group_at_last(structure)
            groups.append(group)
        group.admit(training, n_left)
        request.group = group

    def _take_turn(self, request: _Request) -> None:
        """Train one that shares no group, for a short turn."""
        left = min(_TURN_SECONDS, request.until - time.monotonic())
        metrics = request.training.advance(request.updates, time_limit_seconds=left)
        if metrics is not None:
            self._answer(request, metrics)

    def _settle(self, request: _Request) -> None:
        """Answer a request that is done, or whose time limit has passed."""
        training, group = request.training, request.group
        is_late = time.monotonic() >= request.until
        is_done = group is not None and group.left(training) == 0
        if group is None:
            if is_late:
                self._answer(request, None)
        elif is_late or is_done:
            group.release(training)
            training.seconds += time.monotonic() - request.started
            request.group = None
            # The last iteration is done alone: it measures the gradients.
            self._answer(request, training.advance(request.updates) if is_done else None)

    def _answer(self, request: _Request, metrics: Metrics | None) -> None:
        if self._device == "cuda":
            torch.cuda.current_stream().synchronize()  # the caller uses another one
        self._active.remove(request)
        request.answer.set_result(metrics)

    def _make_group_at_last(self, structure: TrialConfig) -> Group:
        """Return a new group, if need be in place of the idle ones."""
        try:
            return self._make_group(structure)
        except torch.OutOfMemoryError:
            pass  # and now out of the handler, whose traceback holds what was half made
        self._drop_idle_groups(0)
        return self._make_group(structure)

    def _make_group(self, structure: TrialConfig) -> Group:
        return Group(
            structure,
            self._dataset.shape,
            self.examples,
            n_slots=self._n_slots if is_dense(structure) else 1,
            n_ticks=self._n_ticks,
            lane=self._emptiest_lane(),
        )

    def _emptiest_lane(self) -> Lane | None:
        n_groups = Counter(id(group.lane) for group in chain(*self._groups.values()))
        return min(self._lanes, key=lambda lane: n_groups[id(lane)], default=None)

    def _n_idle_kept(self) -> int:
        """Return how many idle groups may stay: none on a GPU whose memory is half taken."""
        if self._device == "cuda":
            total = torch.cuda.get_device_properties().total_memory
            limit = total * torch.cuda.get_per_process_memory_fraction()
            if torch.cuda.memory_allocated() > limit / 2:
                return 0
        return _MAX_IDLE_GROUPS

    def _drop_idle_groups(self, n_kept: int) -> None:
        """Release the memory of idle groups, except for those used last."""
        idle = [group for group in chain(*self._groups.values()) if not group.trainings]
        for group in idle[: max(0, len(idle) - n_kept)]:
            self._forget(group)
        if n_kept == 0:
            used = {id(group.lane) for group in chain(*self._groups.values())}
            for lane in self._lanes:
                if id(lane) not in used:
                    lane.give_back()

    def _forget(self, group: Group) -> None:
        for groups in self._groups.values():
            if group in groups:
                groups.remove(group)
