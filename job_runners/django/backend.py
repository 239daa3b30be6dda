"""The backend for Django's tasks. It enqueues tasks as jobs, and returns jobs as task results.

A call is the payload of such a job: the path of a task, and the arguments to call it with.
"""

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

from job_runners.django import MAX_ATTEMPTS_ATTRIBUTE, current_options
from job_runners.django.calls import build_call
from job_runners.django.current import current_job
from job_runners.django.results import TaskJob, apply_use_tz, build_result, set_field
from job_runners.django.transports import InProcess, OverHttp, transport_for

# The options of the backend in TASKS, with their defaults.
OPTIONS: dict[str, Any] = {
    "JOB_TYPE": "django_task",  # the name in JOBS
    "CLIENT": {"timeout": 5, "max_attempts": 1},  # arguments of job_runners.Client
    "MODULES": (),  # modules with tasks, in addition to each installed app's `tasks`
    "QUEUE_NAMES": {},  # {Django's name of a queue: its name in the stack}, where these differ
    "PRIORITY_QUEUES": None,  # {10: "urgent"} for priorities of 10 or more; None: no priorities
    "ON_COMMIT": None,  # an alias in DATABASES: enqueue when its transaction commits
    "MAX_ATTEMPTS": 1,  # for tasks without @max_attempts
    "PER_TASK": {},  # {"wagtail.": {"MAX_ATTEMPTS": 5}} for tasks whose path starts with "wagtail."
    "ORGANIZATION_ID": None,
    "SIGN": True,  # sign calls, so that only processes with SECRET_KEY can call tasks
}
_MAX_DELAY = timedelta(days=30)


class TaskNotFound(InvalidTask):
    """This process may run no task with this path. A later deploy may have the task."""


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
        """Return the object that dispatches and reads jobs. Raises ConfigurationError."""
        return transport_for(self.settings["CLIENT"])

    @property
    def job_types(self) -> set[str]:
        """Return the names of all job types that the backend may dispatch."""
        default: str = self.settings["JOB_TYPE"]
        per_task = self.settings["PER_TASK"].values()
        return {default, *(options.get("JOB_TYPE", default) for options in per_task)}

    def validate_task(self, task: Task) -> None:
        """Raise InvalidTask for a task that can't become a job."""
        super().validate_task(task)
        if apps.ready:
            self._check_module(task.func.__module__)
        latest = datetime.now(UTC) + _MAX_DELAY
        if task.run_after is not None and _make_aware(task.run_after) > latest:
            raise InvalidTask("run_after may be at most 30 days from now.")

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Dispatch a job that calls the task. With ON_COMMIT, do so when the transaction commits.

        Raises InvalidTask, TypeError or ValueError if the task or its arguments can't become a job,
        and the errors of `job_runners.Client.dispatch`.
        """
        self.validate_task(task)
        self.load_task(task.module_path)  # fail here rather than in the worker
        payload = build_call(task, args, kwargs, sign=self.settings["SIGN"])
        fields = self._dispatch_fields(task, payload)
        database = self.settings["ON_COMMIT"]
        if database is not None and transaction.get_connection(database).in_atomic_block:
            return self._dispatch_on_commit(task, fields, database)
        return self._dispatch(task, fields)

    def _dispatch_on_commit(self, task: Task, fields: dict[str, Any], database: str) -> TaskResult:
        """Register a callback that dispatches the job, and return the result of the future job.

        The job doesn't exist yet, but its id follows from its idempotency key.
        """
        key = fields.setdefault("idempotency_key", get_random_string(32))
        result_id = self.transport.id_for_key(key, fields.get("organization_id"))
        future_job = TaskJob(result_id, fields["job_type"], "queued")
        result = build_result(future_job, task, fields["payload"], self.alias)

        def send() -> None:  # not a lambda, because Django logs the callback's name if it fails
            dispatched = self._dispatch(task, fields)
            set_field(result, "enqueued_at", dispatched.enqueued_at)

        transaction.on_commit(send, using=database, robust=True)
        return result

    def _dispatch(self, task: Task, fields: Mapping[str, Any]) -> TaskResult:
        job = self.transport.dispatch(fields)
        result = build_result(job, task, fields["payload"], self.alias)
        task_enqueued.send(type(self), task_result=result)
        return result

    async def aenqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Call `enqueue` in a thread.

        With ON_COMMIT, this is the thread that has the database connection.
        """
        enqueue = partial(self.enqueue, task, args, kwargs)
        needs_connection = self.settings["ON_COMMIT"] is not None
        return await sync_to_async(enqueue, thread_sensitive=needs_connection)()

    def get_result(self, result_id: str) -> TaskResult:
        """Return a task's result.

        Raises TaskResultDoesNotExist, even if the id belongs to a job of another type.
        """
        organization = self.settings["ORGANIZATION_ID"]
        job = self.transport.get(str(result_id))
        if (
            job is None
            or job.job_type not in self.job_types
            or job.payload is None  # hidden: the client's caller may not read payloads
            or organization not in (None, job.organization_id)  # None: any organization
        ):
            raise TaskResultDoesNotExist(result_id)
        call = job.payload
        try:
            task = self.load_task(call["task"])
        except InvalidTask as error:
            raise TaskResultDoesNotExist(result_id) from error
        run_after = apply_use_tz(job.run_at) if call["deferred"] else None
        task = task.using(queue_name=call["queue"], run_after=run_after, backend=self.alias)
        return build_result(job, task, call, self.alias)

    async def aget_result(self, result_id: str) -> TaskResult:
        """Call `get_result` in a thread."""
        return await sync_to_async(self.get_result, thread_sensitive=False)(result_id)

    def check(self, **_: Any) -> Iterator[CheckMessage]:
        """Report errors in the settings. This runs at each start, so it sends no request."""
        from job_runners.django.checks import check_settings

        return check_settings(self, OPTIONS)

    def load_task(self, path: str) -> Task:
        """Import the task with this path. Raises TaskNotFound if this process may not run it.

        The path may come from a payload, and an import runs code. So check first that the settings
        allow the module, and then that the path leads to a Task and not to any other function.
        """
        module, _, _ = path.rpartition(".")
        self._check_module(module)
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
        """Raise TaskNotFound unless the settings allow tasks of this module."""
        app_modules = [f"{app.name}.tasks" for app in apps.get_app_configs()]
        allowed = [*app_modules, *self.settings["MODULES"]]
        # The final dots make "shop.tasks" allow "shop.tasks.daily" but not "shop.tasks_old".
        if not any(f"{module}.".startswith(f"{name}.") for name in allowed):
            raise TaskNotFound(
                f"The settings allow no tasks of {module}. Put the task into the module `tasks` of "
                f"an installed app, or add the module to TASKS[{self.alias!r}]['OPTIONS']"
                "['MODULES']."
            )

    def _dispatch_fields(self, task: Task, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with which to dispatch the job.

        If a running task enqueues this task, the new job inherits the organization of the running
        job. ORGANIZATION_ID takes precedence over it, and `job_options` over both.
        """
        fields = {
            "job_type": self._option(task, "JOB_TYPE"),
            "payload": payload,
            "max_attempts": self._max_attempts(task),
            "queue_name": self._queue_name(task),
            "run_at": None if task.run_after is None else _make_aware(task.run_after),
        }
        running_job = current_job.get()
        if running_job is not None:
            fields |= running_job.fields_for(payload)
        if self.settings["ORGANIZATION_ID"] is not None:
            fields["organization_id"] = self.settings["ORGANIZATION_ID"]
        options = current_options.get()
        if options is not None:
            fields |= options.use()
        return {name: value for name, value in fields.items() if value is not None}

    def _queue_name(self, task: Task) -> str | None:
        """Return the name that the task's queue has in the stack.

        Return None for the default queue of the job type.
        """
        queues: Mapping[int, str] = self.settings["PRIORITY_QUEUES"] or {}
        # A positive key also covers all higher priorities, a negative key all lower ones.
        matching = [
            priority
            for priority in queues
            if 0 < priority <= task.priority or task.priority <= priority < 0
        ]
        if matching:
            return queues[max(matching, key=abs)]
        new_name: str | None = self.settings["QUEUE_NAMES"].get(task.queue_name)
        if new_name:
            return new_name
        return None if task.queue_name == "default" else task.queue_name

    def _max_attempts(self, task: Task) -> int:
        from_decorator = getattr(task.func, MAX_ATTEMPTS_ATTRIBUTE, None)
        return int(from_decorator or self._option(task, "MAX_ATTEMPTS"))

    def _option(self, task: Task, name: str) -> Any:
        """Return an option for a task. Of the prefixes in PER_TASK that match, the longest wins."""
        per_task: Mapping[str, Mapping[str, Any]] = self.settings["PER_TASK"]
        prefixes = [
            prefix
            for prefix, options in per_task.items()
            if task.module_path.startswith(prefix) and name in options
        ]
        return per_task[max(prefixes, key=len)][name] if prefixes else self.settings[name]


def _make_aware(time: datetime) -> datetime:
    aware: datetime = timezone.make_aware(time) if timezone.is_naive(time) else time
    return aware
