"""One history: dispatch a few jobs into a hostile Lambda, and watch them until all have ended."""

import random
import shlex
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest.mock import patch

from histories import simulated_work
from histories.declared_queues import LIMITED
from histories.faults import ALL, Fault, as_text, of_seed
from histories.follow_up_checker import subscribed
from histories.group_trouble import GroupTrouble
from histories.hostile_injector import HostileInjector
from histories.hostile_lambda import SKEW, HostileLambda
from histories.invariant_checker import FINISHED, InvariantChecker, Violation
from histories.operators import Operators
from histories.schedule_people import OCCURRENCES
from histories.simulated_work import (
    BALLAST,
    CHILD,
    FOLLOW_UPS,
    JOBS,
    MEMBERS,
    TASKS,
    Errand,
    Steps,
)
from histories.task_checker import TaskChecker
from histories.unique_checker import request_of
from job_runners import clock, runners
from job_runners.aws import bucket
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.dispatch import bulk
from job_runners.engine.dispatch.checking import check_new_job
from job_runners.engine.schedules import recurring
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import Accepted
from job_runners.errors import (
    DoNotRetry,
    JobRunnersError,
    NotReached,
    QueueFull,
    QuotaReached,
    RetryAfter,
    SendInDoubt,
)
from job_runners.runners.base import JobData
from job_runners.shipped.jobs import post_webhook, table
from job_runners.shipped.jobs.post_webhook import PostWebhook
from job_runners.shipped.webhooks.errors import WebhookFailed
from job_runners.shipped.webhooks.pinned_https import ResponseHead
from job_runners.store import blobs, job_request, steps
from job_runners.store.job_request import DuplicateAnswer, derived_id
from job_runners.testing import moto_direct
from job_runners.testing.aws import process_on_simulated_aws
from job_runners.testing.moto_direct import Row
from job_runners.testing.simulation.playing import SETTINGS, fixed_randomness, quietly, sweep
from job_runners.testing.simulation.simulated_lambda import Choose
from job_runners.work.errors import WaitTimedOut
from job_runners.work.gathering import Member
from job_runners.work.interrupts import (
    InvocationOverInterrupt,
    PauseInterrupt,
    TimeOverInterrupt,
    WaitInterrupt,
    YieldInterrupt,
)
from job_runners.work.job_ended import JobEnded
from job_runners.work.running_job import RunningJob

# The last one is there twice, to be chosen twice as often.
_UNIQUE_TYPES = ("hostile_unique", "hostile_started", "hostile_replaced", "hostile_replaced")
_MAX_REQUESTS = 12  # after this number of dispatches, working jobs dispatch no more unique jobs
# Twice the skew, because two clocks decide whether a row has expired.
_MAX_CLOCK_DIFFERENCE = 2 * SKEW
_CONCURRENT = 4  # invocations that may run at the same time if queues have limits
# The timer's limit is so low that it holds back the second row of a backlog.
_MAX_UNCLAIMED = 1
_NEVER = 10**12  # seconds, far in the future


@contextmanager
def simulated_aws(**more_settings: str) -> Iterator[None]:
    """Simulate AWS for histories that are played one after another, with additional settings."""
    work = {"JOBS_PACKAGES": "histories.simulated_work"}
    environment = work | SETTINGS | more_settings
    with (
        process_on_simulated_aws(environment),
        quietly(),
        patch.object(timer, "MAX_UNCLAIMED", _MAX_UNCLAIMED),
    ):
        runners.get_job_runner()
        yield


def play_seed(
    seed: int, faults: Set[Fault] | None = None, world: type[HostileLambda] = HostileLambda
) -> Counter[str]:
    """Play the history of a seed, and return figures: how often each thing happened.

    Call this within `simulated_aws`.

    Raises Violation. Its message has the command that plays the history again, with the same
    faults.
    """
    command = f"again: PYTHONPATH=tests/support python -m histories --seed {seed}"
    if faults is not None:
        command += f" --faults {shlex.quote(as_text(faults))}"
    faults = of_seed(seed) if faults is None else faults
    most_jobs = 5 if Fault.LIMITS in faults or Fault.UNIQUE in faults else 3
    source = random.Random(seed)
    try:
        with History(lambda what, n: source.randrange(n), faults, world) as history:
            for _ in range(most_jobs - 2 + history.choose("jobs", 3)):
                history.dispatch()
            if history.has_bulk:
                history.dispatch_many()
            for _ in range(history.choose("tasks", 3)):
                history.dispatch_task()
            for _ in range(history.choose("steps", 20) + 20 * history.recurs):
                history.world.step()
            return history.end()
    except Violation as broken:
        raise Violation(f"{broken}\n{command}", broken.figures) from broken


def figures_text(figures: Counter[str]) -> str:
    """Return figures as text. The most important ones come last, even if they are 0."""
    always_shown = ("lost", "doubled", "tasks lost")
    names = [*sorted(figures.keys() - set(always_shown)), *always_shown]
    return ", ".join(f"{name}: {figures[name]:,}" for name in names)


class History:
    """The jobs of one history, their work, and the checkers. Use it in a with statement."""

    def __init__(
        self,
        choose: Choose,
        faults: Set[Fault] = ALL,
        world: type[HostileLambda] = HostileLambda,
    ) -> None:
        self.choose = choose
        self.world = world(choose, worker_timeout=60, faults=faults)
        self.checker = InvariantChecker(self.world, JOBS | table.JOBS)
        attempts = {
            name: task.retry.max_attempts if task.retry else 1 for name, task in TASKS.items()
        }
        self.tasks = TaskChecker(self.world, attempts, self.checker.report)
        # By request: the payloads that its job may have. Each payload names its request.
        self.payloads: dict[str, list[Steps]] = {}
        self._jobs_of: dict[str, set[str]] = {}  # by request: the jobs that had its payload
        self.signals = self.checker.signals
        self._has_limits = Fault.LIMITS in faults
        self._has_unique = Fault.UNIQUE in faults
        self._has_follow_ups = Fault.FOLLOW_UPS in faults
        self._has_subscriptions = self._has_follow_ups and Fault.SUBSCRIPTIONS in faults
        self.recurs = Fault.SCHEDULES in faults
        self.has_bulk = Fault.BULK in faults
        self._waits = Fault.WAITS in faults
        self.gathers = Fault.GROUPS in faults
        schedule_payloads = self.payloads.setdefault(OCCURRENCES, []) if self.recurs else []
        self.operators = Operators(
            self.world,
            self._ask_again,
            self._another_payload,
            self.dispatch,
            schedule_payloads,
            self.signals,
        )
        self._trouble = None
        if self.checker.groups:
            self._trouble = GroupTrouble(
                self.world, self.checker.groups, self.operators, self._dispatch_owner
            )
        # The steps taken, by the job, the number of its restarts, and its payload.
        self.done: dict[tuple[str, int, str], list[int]] = {}
        # By request: the ids of its jobs. Each request must create only one job.
        self.ids: dict[str, set[str]] = {}
        self._asleep_since: dict[str, int] = {}  # by sleep: when it was first asked for
        self.repeatable_requests: list[JobData] = []  # requests with an idempotency key
        # By unique key: the payload of the first job that could replace others.
        self.first_payloads: dict[str, Steps] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        simulated_work.enter(self)
        self._stack.callback(sweep)
        self._stack.enter_context(self.world.running())
        if self._has_subscriptions:
            self._stack.enter_context(subscribed())
        self._stack.enter_context(HostileInjector(self.world).intercepting())
        self._stack.enter_context(fixed_randomness())
        if self._has_limits:
            self._stack.callback(self.world.queues.deploy, {})
            self.world.queues.deploy_any()
        if self.recurs:
            self.operators.schedules.put()
        else:  # without schedules, old seeds still play the same histories
            self._stack.enter_context(
                patch.object(recurring, "start_due", lambda *_, **__: Counter())
            )
        self._stack.enter_context(patch.object(telemetry, "task_failed", self._task_failed))
        self._stack.enter_context(patch.object(telemetry, "task_in_doubt", self._task_in_doubt))
        self._stack.enter_context(patch.object(post_webhook, "post_event", self.receive))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def dispatch(self) -> None:
        """Dispatch a job through the API, which may be killed between the save and the send."""
        data = self._new_job_data()
        times = 2 if data.idempotency_key else 1  # a caller without an answer repeats the request
        if data.idempotency_key:
            self.repeatable_requests.append(data)
        for _ in range(times):
            self.world.invoke("api", lambda: self._accept(data))

    def _dispatch_owner(self) -> None:
        """Dispatch a job that gathers."""
        request, number = str(len(self.payloads)), (3, 5)[self.choose("members", 2)]
        payload = Steps(steps=3, seconds=1, gathers=number, request=request)
        self.payloads[request] = [payload]
        job_type = ("hostile_once", "hostile_again")[self.choose("is retried", 2)]
        data = JobData(job_type=job_type, payload=payload.model_dump(), **self._queue_fields())
        self.world.invoke("api", lambda: self._accept(data))

    def dispatch_many(self) -> None:
        """Dispatch several jobs with one request, and repeat it, perhaps after a while."""
        key = f"bulk {len(self.payloads)}"
        jobs = [self._new_job_data() for _ in range(2 + self.choose("jobs of a request", 3))]
        jobs = [data.model_copy(update={"idempotency_key": None}) for data in jobs]
        for _ in range(3):
            self.world.invoke("api", lambda: self._accept_many(jobs, key))
            for _ in range(self.choose("steps until it is repeated", 3)):
                self.world.step()

    def _accept_many(self, jobs: list[JobData], key: str) -> None:
        send = runners.sender()
        checked = [
            check_new_job(
                data,
                send,
                job_id=derived_id("bulk", data.organization_id, key, str(index)),
                parent_id=None,
                idempotency_key=key,
            )
            for index, data in enumerate(jobs)
        ]
        until = clock.now() + 22 * clock.SECOND
        results = bulk.dispatch_jobs(checked, send, until=until)
        for index, (row, error) in enumerate(results):
            if row is not None:
                self.world.figures["jobs of bulk requests"] += 1
                self._note_accepted(row, jobs[index], f"{key}, {index}")
            elif isinstance(error, NotReached):
                self.world.figures["jobs not reached"] += 1
            elif error is not None:
                raise error

    def _new_job_data(self) -> JobData:
        payload = Steps(
            ballast=("", BALLAST)[self.choose("ballast", 4) // 3],
            steps=(4, 0, 1, 30)[self.choose("steps of the job", 4)],
            seconds=(5, 0, 17, 70)[self.choose("seconds a step", 4)],
            checkpoints=self.choose("checkpoints", 4) < 3,
            named=self.choose("named steps", 3) == 2,
            turns=self._has_limits and self.choose("turns", 6) == 5,
            gathers=self.gathers and (0, 1, 3, 5)[self.choose("members", 4)],
            awaits=("", "", "one", "any")[self._waits and self.choose("awaits", 4)],
            sleeps=self._waits and (0, 0, 1, 40, 2000)[self.choose("sleeps", 5)],
        )
        request = str(len(self.payloads))
        job_type = ("hostile_once", "hostile_again")[self.choose("is retried", 2)]
        if self._has_unique:
            job_type, payload = self._perhaps_unique(job_type, payload)
        payload = payload.model_copy(update={"request": request})
        self.payloads[request] = [payload]
        return JobData(
            job_type=job_type,
            payload=payload.model_dump(),
            delay=(0, 0, *((0, 0, 30) if self._has_limits else (30, 700, 2000)))[
                self.choose("delay", 5)
            ],
            idempotency_key=(None, request)[self.choose("idempotency key", 3) // 2],
            **(fields := self._queue_fields()),
            **self._follow_up_fields(fields.get("organization_id", "default")),
        )

    def _perhaps_unique(self, job_type: str, payload: Steps) -> tuple[str, Steps]:
        """Choose whether a job is unique, and return its type and payload.

        If the payload of the first job that could replace others has named steps, all later ones
        get the same payload. Then only their `request` distinguishes them.
        """
        number = self.choose("which is unique", 5)
        if number >= len(_UNIQUE_TYPES):
            return job_type, payload
        lot = ("a", "b")[self.choose("lot", 4) // 3]
        payload, job_type = payload.model_copy(update={"lot": lot}), _UNIQUE_TYPES[number]
        if job_type == "hostile_replaced":
            first = self.first_payloads.setdefault(lot, payload)
            payload = first if first.named else payload
        return job_type, payload

    def _queue_fields(self) -> dict[str, Any]:
        """Choose a job's queue and organization. Return no fields if queues have no limits."""
        if not self._has_limits:
            return {}
        return {
            "queue_name": (LIMITED, None)[self.choose("queue", 8) // 7],
            "organization_id": ("acme", "umbrella")[self.choose("organization", 2)],
        }

    def _follow_up_fields(self, organization_id: str) -> dict[str, Any]:
        """Choose the follow-ups of a job."""
        if not self._has_follow_ups:
            return {}
        webhook = {"webhook": "https://hooks.example.com", "secret": f"{organization_id}/main"}
        types = (None, *FOLLOW_UPS, webhook)
        return {kind: types[self.choose(kind, len(types))] for kind in ("on_end", "on_failure")}

    def _ask_again(self) -> None:
        """Repeat an earlier request that had an idempotency key.

        If the request was answered and its job has expired, use its key for another request
        instead.
        """
        if not self.repeatable_requests:
            return
        number = self.choose("which request", len(self.repeatable_requests))
        data = self.repeatable_requests[number]
        ids = self.ids.get(f"request {data.idempotency_key}", set())
        rows = [row for row in self._rows() if row["id"] in ids]
        if ids and all(self._expires_at(row) <= self.world.time for row in rows):
            request = str(len(self.payloads))
            steps = 1 + self.choose("steps of the other", 3)
            payload = Steps(steps=steps, named=True, request=request)
            self.payloads[request] = [payload]
            data = data.model_copy(
                update={
                    "job_type": ("hostile_once", "hostile_again")[self.choose("is retried", 2)],
                    "payload": payload.model_dump(),
                }
            )
            self.repeatable_requests[number] = data
        self.world.invoke("api", lambda: self._accept(data))

    def _another_payload(self, row: job_request.JobRequest) -> dict[str, Any]:
        """Return another payload for a job that is retried manually."""
        request = blobs.get(row.payload, row.payload_key)["request"]
        payloads = self.payloads[request]
        payloads.append(Steps(steps=2 + len(payloads), named=True, request=request))
        return payloads[-1].model_dump()

    def _accept(self, data: JobData) -> None:
        try:
            row = runners.get_job_runner().dispatch_job(data)
        except (QuotaReached, QueueFull) as refusal:
            by = "quota" if isinstance(refusal, QuotaReached) else "queue"
            self.world.figures[f"refused by the {by}"] += 1
            return
        key = data.idempotency_key
        self._note_accepted(row, data, f"request {key}" if key else None)

    def _note_accepted(self, answer: Accepted, data: JobData, request: str | None) -> None:
        job_id, duplicate = answer.row.id, answer.duplicate
        if job_id not in self.checker.deleted:
            self.checker.accepted.add(job_id)
        if self.checker.unique and duplicate is not None:
            self.world.figures[f"unique jobs {duplicate.outcome}"] += 1
            is_gone = job_id in self.checker.deleted  # while its request was on its way
            is_new = duplicate.outcome is not DuplicateAnswer.RETURNED and not duplicate.is_repeated
            if is_new and not is_gone:
                self.checker.unique.accepted(job_id, data.payload["request"])
        if request is not None:
            self._check_created_once(request, job_id)
        self._check_asked_alone(job_id, Steps(**data.payload))

    def _check_created_once(self, what: str, job_id: str) -> None:
        if self._has_unique:  # a request may return another job, but only while that job exists
            existing_ids = {row["id"] for row in self._rows() if not self._has_expired(row)}
            self.ids[what] = self.ids.get(what, set()) & existing_ids
        if len(self.ids.setdefault(what, set()) | {job_id}) > 1:
            self.checker.report(f"{what} created more than one job")
        self.ids[what].add(job_id)

    def _has_expired(self, row: Row) -> bool:
        return self._expires_at(row) <= self.world.time + _MAX_CLOCK_DIFFERENCE

    def _expires_at(self, row: Row) -> int:
        return int(row.get("expires_at", _NEVER) * clock.SECOND)

    def dispatch_task(self) -> None:
        """Dispatch a task through the API, and check that it was sent before the API answers."""
        name = ("hostile_errand_once", "hostile_errand_again")[self.choose("is retried", 2)]
        payload = {"seconds": (0, 5, 70)[self.choose("seconds of the task", 3)]}
        self.world.invoke("api", lambda: self._accept_task(name, payload))

    def _accept_task(self, name: str, payload: dict[str, Any]) -> None:
        before = len(self.tasks.accepted)
        runners.get_job_runner().dispatch_task(name, payload)
        if len(self.tasks.accepted) == before:
            self.checker.report(f"the task {name} was accepted and not sent")

    def end(self) -> Counter[str]:
        """Stop all faults until every job has ended. Return the figures. Raises Violation."""
        self.world.stop_faults(self._unfinished, self._end_pauses_and_schedules, self._act_in_peace)
        rows = self._rows()
        self.checker.check_ended(rows)
        self.tasks.check_ended()
        figures = self.world.figures
        for row in rows:
            self._check_work(row)
            figures[row["status"]] += 1
        figures["jobs"] = len(self.checker.accepted)
        figures["tasks"] = len(self.tasks.accepted)
        figures["tasks lost"] = len(self.tasks.lost)
        figures["rescues"] = self.checker.settled
        figures["lost"] = len(self.checker.lost)
        figures["doubled"] = len(self.checker.doubled)
        if self.checker.violations:
            raise Violation(self.checker.violations[0], figures)
        return figures

    def _act_in_peace(self) -> None:
        """Send signals and cancel groups after the faults have stopped."""
        if self._waits:
            self.operators.perhaps_answer()
        if self.checker.groups and self._trouble:
            self.operators.cancel_groups(self.checker.groups.parent_canceled)
            self._trouble.act()

    def _end_pauses_and_schedules(self) -> None:
        """End all pauses, check that no due occurrence is left, and then delete all schedules."""
        if self._trouble:
            self._trouble.begin()
        self.operators.resume_all()
        if self.checker.schedules is None:
            return
        self.operators.schedules.resume_all()
        for _ in range(3):  # the timer checks a waiting occurrence at least every 10 minutes
            self.world.time += 11 * clock.MINUTE
            self.world.tick()
        self.checker.schedules.check_up_to_date()
        self.operators.schedules.delete_all()

    def take_steps(self, job: RunningJob, payload: Steps) -> dict[str, Any]:
        """Do the work of a job in this history, and return its result."""
        self.checker.note_started(job.id, job.attempt, job.invocation)
        is_child = payload == CHILD or payload in MEMBERS
        if not is_child:
            self._check_payload(job, payload)
        if self.checker.unique and not is_child and job.cursor is None:
            self.checker.unique.begins(job.id, payload.request)
        key = (job.id, self.checker.restarts[job.id], payload.model_dump_json())
        done = self.done.setdefault(key, [])
        self._fail_or_gather(job, payload)
        for step in range(job.cursor or 0, payload.steps):
            if payload.awaits and step < 3:
                self._await_signal(job, step, payload.awaits)
            self.world.spend(payload.seconds)
            self._end_if_time_is_over(job)
            self.operators.perhaps_cancel(job.id)
            self._let_others_run()
            self._perhaps_fail("a step", 40, job.id)
            if payload.named:
                self._take_named_step(job, step)
            # Check this now, because another job may have this id by the end of the history.
            # If a job waits without checkpoints, each invocation repeats the earlier steps.
            repeats = (payload.sleeps or payload.awaits) and not payload.checkpoints
            if step in done and job.attempt == 1 and job.last_attempt and not repeats:
                self.checker.report(f"job {job.id}, without retries, took step {step} twice")
            done.append(step)
            self._end_if_time_is_over(job)
            if payload.checkpoints:
                checkpoint = job.next_turn if payload.turns else job.checkpoint
                with self._perhaps_ends_invocation(job):
                    checkpoint(step + 1, progress=100 * step / payload.steps)
            if payload.sleeps:
                self._sleep(job, str(step), payload.sleeps)
        self.checker.note_returned(job.id)
        return payload.model_dump()

    @contextmanager
    def _perhaps_ends_invocation(self, job: RunningJob) -> Iterator[None]:
        """Note that the job's invocation ends, if this call ends it."""
        try:
            yield
        except (InvocationOverInterrupt, PauseInterrupt, YieldInterrupt, WaitInterrupt):
            self.checker.invocation_ended(job.id)
            raise

    def _sleep(self, job: RunningJob, name: str, seconds: float) -> None:
        """Sleep, and check that the sleep lasts at least `seconds` from its first call."""
        asked_at = self._asleep_since.setdefault(f"{job._row.work_id} {name}", clock.now())
        try:
            with self._perhaps_ends_invocation(job):
                job.sleep(name, seconds)
        except (*AWS_ERRORS, JobRunnersError):
            self.checker.excuse(job.id)  # the job may fail because the sleep couldn't be saved
            raise
        early = asked_at + seconds * clock.SECOND - clock.now()
        if early > _MAX_CLOCK_DIFFERENCE:
            self.checker.report(f"job {job.id} woke {early} ms too early from sleep {name}")
        self.world.figures["sleeps"] += 1

    def _fail_or_gather(self, job: RunningJob, payload: Steps) -> None:
        """Do what a member of a group, or its owner, does first."""
        may_fail = not self.world.is_harmless or self._trouble
        if payload.fails and may_fail and self.choose("a member fails", 3):
            self.checker.excuse(job.id)
            raise DoNotRetry("asked to fail")
        if payload.gathers:
            self._gather(job, payload.gathers)

    def _gather(self, job: RunningJob, number: int) -> None:
        """Wait for a group, and check its results."""
        types = ("hostile_once", "hostile_again", "hostile_unique" if self._has_unique else None)
        keys = [f"member {each}" for each in range(number)]

        def members() -> Iterator[Member]:
            for index, key in enumerate(keys):
                canceled = self._trouble and self._trouble.perhaps_cancel_parent(job.id)
                if canceled and self.choose("it fails now", 2):
                    self.checker.excuse(job.id)
                    raise DoNotRetry("asked to fail")
                job_type = types[index % 3] or "hostile_once"
                yield Member(job_type, MEMBERS[index], key=key, queue_name=queue_name)

        queue_name = LIMITED if self._has_limits else None
        stop_after = 1 if number == 5 else None
        try:
            with self._perhaps_ends_invocation(job):
                results = job.gather("g", members(), stop_after_failures=stop_after)
            if self.checker.groups and self._trouble:
                self.checker.groups.got(job, "g", keys, results)
                self._trouble.perhaps_cancel_parent(job.id)
        except (*AWS_ERRORS, JobRunnersError, TimeOverInterrupt):
            self.checker.excuse(job.id)
            raise

    def _await_signal(self, job: RunningJob, step: int, how: str) -> None:
        """Wait for a signal, and check that each invocation gets the same answer."""
        first, second = f"a{step}", f"b{step}"
        timeout = (600.0, 40_000.0)[step % 2]
        try:
            with self._perhaps_ends_invocation(job):
                url = job.signal_url(first, text="?", timeout=timeout)
                self.signals.linked(job, first, url)
                if how == "any":
                    names = [first, second]
                    answer: object = job.wait_for_any(names, timeout=timeout, label=first)
                else:
                    answer = job.wait_for(first, timeout=timeout)
        except WaitTimedOut:
            answer = None
        except (*AWS_ERRORS, JobRunnersError):
            self.checker.excuse(job.id)
            raise
        self.signals.got(job, first, f"{first} {how}", answer)

    def _end_if_time_is_over(self, job: RunningJob) -> None:
        """End the job as the alarm would. The alarm itself is off, because it counts real time."""
        if job.time_left() == 0:
            self.checker.excuse(job.id)
            raise TimeOverInterrupt

    def _let_others_run(self) -> None:
        """Perhaps let other invocations run while this job works, and dispatch another unique
        job."""
        has_capacity = len(self.world.stack) <= _CONCURRENT and not self.world.is_harmless
        if self._has_limits and has_capacity:
            for _ in range(self.choose("others go on", 4) - 1):
                self.world.step()
            self.world.check_alive("while others ran")
        wanted = self._has_unique and len(self.payloads) < _MAX_REQUESTS
        if wanted and self.choose("the same is asked for", 4) == 3:
            self.dispatch()
            self.world.check_alive("while others ran")

    def _take_named_step(self, job: RunningJob, step: int) -> None:
        try:
            self._run_named_step(job, step)
        except (*AWS_ERRORS, JobRunnersError):
            self.checker.excuse(job.id)  # the job may fail because its step couldn't be saved
            raise

    def _run_named_step(self, job: RunningJob, step: int) -> None:
        def effect() -> int:
            # An overtaken worker has lost its claim, and doesn't learn that the step was taken.
            if steps.find(job._row, f"step {step}") and self.checker.has_claim(job.id):
                self.checker.report(f"step {step} of job {job.id} was taken again")
            self.world.spend(1)
            return step

        if job.step(str(step), effect) != step:
            self.checker.report(f"step {step} of job {job.id} has another result")
        if step == 0:
            child_type = "hostile_unique" if self._has_unique else "hostile_once"
            child = job.dispatch(child_type, CHILD, key="child")
            self._check_created_once(f"the child of {job._row.work_id}", child)
            self.world.figures["children"] += 1
            if self.has_bulk:
                self._dispatch_children(job, child_type)

    def _dispatch_children(self, job: RunningJob, child_type: str) -> None:
        """Dispatch several children with one call, and check that each key created one job."""
        found = job.dispatch_many(child_type, ((f"child {each}", CHILD) for each in range(3)))
        for key, child in found.items():
            self._check_created_once(f"the {key} of {job._row.work_id}", child)

    def run_follow_up(self, job: RunningJob, payload: JobEnded) -> None:
        """Do the work of a follow-up in this history."""
        self.checker.note_started(job.id, job.attempt, job.invocation)
        if self.checker.follow_ups:
            self.checker.follow_ups.check_told(job.id, payload)
        self.world.spend(5)
        self._end_if_time_is_over(job)
        self.operators.perhaps_cancel(job.id)
        self._perhaps_fail("a follow-up", 20, job.id)
        self.checker.note_returned(job.id)

    def receive(self, webhook: PostWebhook, event_id: str) -> ResponseHead:
        """Answer a webhook as its receiver, which may be unavailable."""
        if self.checker.follow_ups:
            self.checker.follow_ups.check_posted(event_id, webhook.body)
        self.world.spend(1)
        if not self.world.is_harmless and self.choose("a receiver", 4) == 3:
            raise WebhookFailed(webhook.host, "is unavailable")
        return ResponseHead(204, None)

    def run_errand(self, payload: Errand) -> None:
        """Do the work of a task in this history."""
        task_id = self.world.stack[-1].message["id"]
        self.tasks.ran(task_id)
        self.world.spend(payload.seconds)
        bucket.put_bytes(f"errands/{task_id}", b"done")
        self._perhaps_fail("an errand", 10)
        self.tasks.done[task_id] += 1

    def _task_failed(self, message: TaskMessage, _error: BaseException) -> None:
        self.tasks.failed[message.id] += 1

    def _task_in_doubt(self, error: SendInDoubt) -> None:
        """Count a task as failed if it is unknown whether its next attempt was sent."""
        self.tasks.failed[error.what.split()[1]] += 1  # `what` is "task <id> ..."

    def _perhaps_fail(self, what: str, n: int, job_id: str | None = None) -> None:
        if self.world.is_harmless:
            return
        luck = n - self.choose(what, n)  # 1, 2 and 3 fail, each in its own way
        if job_id and luck <= 3:
            self.checker.excuse(job_id)
        match luck:
            case 3:
                raise ValueError("no luck")
            case 2:
                raise RetryAfter(self.choose("asked to wait", 3) * 700.0)
            case 1:
                raise DoNotRetry("hopeless")

    def _check_payload(self, job: RunningJob, payload: Steps) -> None:
        """Check that a job runs with a payload of its own request."""
        if payload not in self.payloads.get(payload.request, []):
            self.checker.report(f"the payload of job {job.id} has changed")
        self._check_asked_alone(job.id, payload)

    def _check_asked_alone(self, job_id: str, payload: Steps) -> None:
        """Check that no other job has the payload of this request.

        Unique work is an exception: its requests may get an existing job. So are schedules, whose
        occurrences have one request.
        """
        if payload.request == OCCURRENCES or payload.lot:
            return
        jobs = self._jobs_of.setdefault(payload.request, set()) | {job_id}
        self._jobs_of[payload.request] = jobs
        if len(jobs) > 1:
            self.checker.report(f"the payload of job {job_id} is another job's: {sorted(jobs)}")

    def _check_work(self, row: Row) -> None:
        """Check that a job that succeeded took every step, and that its result is the one it
        returned."""
        runs = {key[1:]: done for key, done in self.done.items() if key[0] == row["id"]}
        is_built_in = row["job_type"] in table.JOBS
        if row["status"] == "succeeded" and "follow_up_of" not in row and not is_built_in:
            result = blobs.get(row.get("result"), row.get("result_key"))
            asked = [*self.payloads.get(request_of(row), []), CHILD, *MEMBERS]
            if result not in [payload.model_dump() for payload in asked]:
                self.checker.report(f"the result of job {row['id']} is not what it returned")
            wanted = Steps(**result).model_dump_json()
            done = [step for (_, what), run in runs.items() if what == wanted for step in run]
            if set(done) != set(range(result["steps"])):
                self.checker.report(f"job {row['id']} succeeded without taking every step: {done}")

    def _rows(self) -> list[Row]:
        return moto_direct.rows("jobs")

    def _unfinished(self) -> list[int]:
        rows = [row for row in self._rows() if row["status"] not in FINISHED]
        return [row.get("due_at", self.world.time) for row in rows]
