"""The backend for Django's tasks: it enqueues tasks as jobs, and returns jobs as task results."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.checks import CheckMessage
from django.db import transaction
from django.tasks import Task, TaskResult
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string

from job_runners.django import MAX_ATTEMPTS, current_options
from job_runners.django.calls import build_call
from job_runners.django.current import current_job
from job_runners.django.results import TaskJob, build_result, local
from job_runners.django.transports import InProcess, OverHttp, transport_for

OPTIONS: dict[str, Any] = {
    "JOB_TYPE": "django_task",  # the name in JOBS
    "CLIENT": {"timeout": 5, "max_attempts": 1},  # arguments of job_runners.Client
    "MODULES": (),  # modules of tasks, in addition to the module `tasks` of each installed app
    "QUEUE_NAMES": {},  # the stack's names of Django's queues, where they differ
    "PRIORITY_QUEUES": None,  # {10: "urgent"}: the queue from a priority on; None refuses priority
    "ON_COMMIT": None,  # an alias in DATABASES: enqueue when its transaction commits
    "MAX_ATTEMPTS": 1,  # of a task without @max_attempts
    "PER_TASK": {},  # {"wagtail.": {"MAX_ATTEMPTS": 5}}: options by the start of a task's path
    "ORGANIZATION_ID": None,
    "SIGN": True,  # with SECRET_KEY, so that only a process that has it can call tasks
}
_MAX_DELAY = timedelta(days=30)


class TaskNotFound(InvalidTask):
    """A path names no task that this process may run. A later deploy may have it."""


class JobRunnersBackend(BaseTaskBackend):
    """Enqueue tasks as jobs of one stack."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self.settings = {**OPTIONS, **self.options}
        self.settings["CLIENT"] = {**OPTIONS["CLIENT"], **self.settings["CLIENT"]}
        self.supports_priority = self.settings["PRIORITY_QUEUES"] is not None

    @property
    def transport(self) -> OverHttp | InProcess:
        """Return how this process reaches the engine. Raises ConfigurationError."""
        return transport_for(self.settings["CLIENT"])

    @property
    def job_types(self) -> set[str]:
        """Return the names of the job types that the backend dispatches."""
        per_task = self.settings["PER_TASK"].values()
        job_types = {options["JOB_TYPE"] for options in per_task if "JOB_TYPE" in options}
        return job_types | {self.settings["JOB_TYPE"]}

    def validate_task(self, task: Task) -> None:
        """Raise InvalidTask for a task that can't become a job."""
        super().validate_task(task)
        if apps.ready:
            self._check_module(task.func.__module__)
        latest = datetime.now(UTC) + _MAX_DELAY
        if task.run_after is not None and _aware(task.run_after) > latest:
            raise InvalidTask("run_after may be at most 30 days from now.")

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Dispatch the job, or with ON_COMMIT as soon as the transaction commits.

        Raises InvalidTask, TypeError and ValueError for a task or arguments that can't become a
        job, and the errors of `job_runners.Client.dispatch`.
        """
        self.validate_task(task)
        self.task_at(task.module_path)  # raises what the worker would raise
        fields = self._fields(task, build_call(task, args, kwargs, sign=self.settings["SIGN"]))
        alias = self.settings["ON_COMMIT"]
        if alias is None or not transaction.get_connection(alias).in_atomic_block:
            return self._dispatch(task, fields)
        key = fields.setdefault("idempotency_key", get_random_string(32))
        result_id = self.transport.id_under(key, fields.get("organization_id"))
        future_job = TaskJob(result_id, fields["job_type"], "queued")
        result = build_result(future_job, task, fields["payload"], self.alias)

        def send() -> None:  # not a lambda, because Django logs the callback's name if it fails
            dispatched = self._dispatch(task, fields)
            object.__setattr__(result, "enqueued_at", dispatched.enqueued_at)

        transaction.on_commit(send, using=alias, robust=True)
        return result

    async def aenqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Enqueue in a thread. With ON_COMMIT, use the thread with the database connection."""
        enqueue = partial(self.enqueue, task, args, kwargs)
        uses_connection = self.settings["ON_COMMIT"] is not None
        return await sync_to_async(enqueue, thread_sensitive=uses_connection)()

    def get_result(self, result_id: str) -> TaskResult:
        """Return a task's result. Raises TaskResultDoesNotExist, also for jobs of other types."""
        organization = self.settings["ORGANIZATION_ID"]
        job = self.transport.get(str(result_id))
        if (
            job is None
            or job.job_type not in self.job_types
            or job.payload is None  # this caller may not read it
            or organization not in (None, job.organization_id)
        ):
            raise TaskResultDoesNotExist(result_id)
        call = job.payload
        try:
            task = self.task_at(call["task"])
        except InvalidTask as error:
            raise TaskResultDoesNotExist(result_id) from error
        run_after = local(job.run_at) if call["deferred"] else None
        task = task.using(queue_name=call["queue"], run_after=run_after, backend=self.alias)
        return build_result(job, task, call, self.alias)

    async def aget_result(self, result_id: str) -> TaskResult:
        """Call get_result in a thread."""
        return await sync_to_async(self.get_result, thread_sensitive=False)(result_id)

    def check(self, **_: Any) -> Iterator[CheckMessage]:
        """Yield what is wrong with the settings. This calls no API, because each start does it."""
        from job_runners.django.checks import check_settings

        return check_settings(self, OPTIONS)

    def task_at(self, path: str) -> Task:
        """Return the task with this path. Raises TaskNotFound if this process may not run it.

        The module's name is checked before the import, because an import runs code. The path must
        lead to a Task, so that a payload can't name any other function.
        """
        self._check_module(path.rpartition(".")[0])
        try:
            task = import_string(path)
        except ImportError as error:
            raise TaskNotFound(f"The task {path} can't be imported: {error}") from error
        if not isinstance(task, Task) or task.module_path != path:
            raise TaskNotFound(
                f"{path} is not a task. Decorate the function itself with @task, and keep its name."
            )
        return task

    def _check_module(self, module: str) -> None:
        allowed = {f"{app.name}.tasks" for app in apps.get_app_configs()}
        allowed |= {*self.settings["MODULES"]}
        if not any(module == name or module.startswith(f"{name}.") for name in allowed):
            raise TaskNotFound(
                f"The settings allow no tasks of {module}. Put the task into the module `tasks` of "
                f"an installed app, or add the module to TASKS[{self.alias!r}]['OPTIONS']"
                "['MODULES']."
            )

    def _fields(self, task: Task, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of the dispatch.

        Options of the caller (`job_options`) replace those that a running task passes on.
        """
        fields = {
            "job_type": self._option(task, "JOB_TYPE"),
            "payload": payload,
            "max_attempts": self._attempts(task),
            "queue_name": self._queue(task),
            "run_at": None if task.run_after is None else _aware(task.run_after),
        }
        current, options = current_job.get(), current_options.get()
        if current is not None:
            fields |= current.fields_for(payload)
        if self.settings["ORGANIZATION_ID"] is not None:
            fields["organization_id"] = self.settings["ORGANIZATION_ID"]
        if options is not None:
            fields |= options.use()
        return {name: value for name, value in fields.items() if value is not None}

    def _dispatch(self, task: Task, fields: Mapping[str, Any]) -> TaskResult:
        job = self.transport.dispatch(fields)
        result = build_result(job, task, fields["payload"], self.alias)
        task_enqueued.send(type(self), task_result=result)
        return result

    def _queue(self, task: Task) -> str | None:
        """Return the job's queue, or None for the queue of the job type."""
        queues: Mapping[int, str] = self.settings["PRIORITY_QUEUES"] or {}
        # A positive key is for its priority and all higher ones, a negative one for all lower ones.
        priorities = [
            priority
            for priority in queues
            if 0 < priority <= task.priority or task.priority <= priority < 0
        ]
        if priorities:
            return queues[max(priorities, key=abs)]
        new_name: str | None = self.settings["QUEUE_NAMES"].get(task.queue_name)
        if new_name:
            return new_name
        return None if task.queue_name == "default" else task.queue_name

    def _attempts(self, task: Task) -> int:
        return int(getattr(task.func, MAX_ATTEMPTS, None) or self._option(task, "MAX_ATTEMPTS"))

    def _option(self, task: Task, name: str) -> Any:
        """Return a task's option, from the longest prefix in PER_TASK or from the backend."""
        per_task: Mapping[str, Mapping[str, Any]] = self.settings["PER_TASK"]
        prefixes = [
            prefix
            for prefix, options in per_task.items()
            if task.module_path.startswith(prefix) and name in options
        ]
        return per_task[max(prefixes, key=len)][name] if prefixes else self.settings[name]


def _aware(time: datetime) -> datetime:
    aware: datetime = timezone.make_aware(time) if timezone.is_naive(time) else time
    return aware
