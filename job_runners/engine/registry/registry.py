"""The registry of all jobs, tasks, queues and schedules: the built-in ones and those of the app.

*Work* means jobs and tasks. Each package of the app may define *tables*, such as JOBS, which map
names to definitions. A text "package.module:function" names the function of a job or task. To
*load* work is to import its function and its payload model. This happens when the work is first
used. An *internal* job is a job that callers can't dispatch. A *worker class* is an additional
worker function. It runs the work that names the class with `worker=`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from job_runners import errors, names
from job_runners.engine.registry.app_modules import import_app_module
from job_runners.engine.registry.errors import FunctionsNotLoaded, NameTakenTwice
from job_runners.engine.telemetry import telemetry
from job_runners.settings import settings
from job_runners.values import Value, field
from job_runners.work.around import Around
from job_runners.work.definitions import InternalJob, Job, Task
from job_runners.work.errors import FunctionNotLoaded
from job_runners.work.queues import Queue

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.work.recurring import Recurring

_Work = TypeVar("_Work", Job, Task)
_Definition = TypeVar("_Definition", Job, Task, Queue, "Recurring")

# The tables that a module of the app may define.
TABLE_NAMES = ("JOBS", "TASKS", "QUEUES", "RECURRING", "AROUND")
# All tables with one of these names. The keys are the places that define them, such as "app.JOBS".
_Tables = dict[str, Any]

_BUILT_IN_MODULES = ("job_runners.shipped.jobs.table", "job_runners.shipped.tasks.table")


class Registry(Value):
    """All jobs and tasks of this process, and all declared queues and schedules."""

    jobs: Mapping[str, Job]
    tasks: Mapping[str, Task]
    around: Sequence[Around] = ()  # the context managers around all work, the outermost first
    queues: Mapping[str, Queue] = field(default_factory=dict)
    recurring: "Mapping[str, Recurring]" = field(default_factory=dict)

    def job(self, name: str) -> Job:
        """Return the job with this name.

        Raises UnknownJobType, which suggests the nearest name of a job that is not internal.
        """
        if name not in self.jobs:
            public = (each for each, job in self.jobs.items() if not isinstance(job, InternalJob))
            raise errors.UnknownJobType(name, public)
        return self.jobs[name]

    def task(self, name: str) -> Task:
        """Return the task with this name. Raises UnknownTask, which suggests the nearest name."""
        if name not in self.tasks:
            raise errors.UnknownTask(name, self.tasks)
        return self.tasks[name]

    def load(self, work: Job | Task) -> None:
        """Load a job or task and the app's context managers. Raises FunctionNotLoaded."""
        work.load()
        for around in self.around:
            _ = around.call  # reading this property imports the function

    def resolve_all(self) -> None:
        """Import every function, and check all definitions.

        A build, a test or a long-lived process calls this. Raises FunctionsNotLoaded, which names
        each function that can't be loaded, with its file and line. Raises InvalidDefinition for
        definitions that contradict each other.
        """
        broken = []
        for kind, definitions in (("job", self.jobs), ("task", self.tasks)):
            for name, work in definitions.items():
                try:
                    work.load()
                except FunctionNotLoaded as error:
                    broken.append(f"the {kind} {name!r}: {error}")
        for around in self.around:
            try:
                _ = around.call  # reading this property imports the function
            except FunctionNotLoaded as error:
                broken.append(str(error))
        if broken:
            raise FunctionsNotLoaded(broken)
        self.check_worker_classes()
        self._check_queues()
        self._check_unique()
        self._check_follow_ups()
        self._check_recurring()

    def check_worker_classes(self) -> None:
        """Raise InvalidDefinition for work whose worker class isn't declared in app.toml.

        In a process that doesn't know the declared classes, do nothing.
        """
        declared = settings().worker_classes
        if declared is None:
            return
        for table_name, definitions in (("JOBS", self.jobs), ("TASKS", self.tasks)):
            for name, work in definitions.items():
                if work.worker not in (None, *declared):
                    raise errors.InvalidDefinition(
                        f"{table_name}: {name!r} ({work.declared_in}): app.toml has no "
                        f"[workers.{work.worker}]. {_hint_for_class(str(work.worker), declared)}"
                    )

    def _check_queues(self) -> None:
        """Raise InvalidDefinition for a queue whose `per` doesn't fit the payloads of its jobs.

        It doesn't fit if it names a field that no payload has, or a field that must not be used.
        """
        for name, queue in self.queues.items():
            jobs_of_queue = {
                job_type: job for job_type, job in self.jobs.items() if name in job.allowed_queues
            }
            for job_type, job in jobs_of_queue.items():
                # `misfit` returns an error message, or None if the queue fits.
                problem = queue.misfit(job.payload_model)
                if problem:
                    raise errors.InvalidDefinition(
                        f"QUEUES: {name!r}: {problem} (the job {job_type!r}, {job.declared_in})"
                    )
            models = [job.payload_model for job in jobs_of_queue.values()]
            if models and not any(map(queue.can_have_per_value, models)):
                raise errors.InvalidDefinition(
                    f"QUEUES: {name!r} ({queue.declared_in}): Queue(per={queue.per!r}): no job in "
                    "this queue has such a field in its payload"
                )

    def _check_unique(self) -> None:
        """Raise InvalidDefinition for a job that is unique by a field that its payload lacks."""
        for name, job in self.jobs.items():
            problem = job.unique.misfit(job.payload_model) if job.unique else None
            if problem:
                raise errors.InvalidDefinition(f"JOBS: {name!r} ({job.declared_in}): {problem}")

    def _check_follow_ups(self) -> None:
        """Raise InvalidDefinition for a job whose follow-ups can't be dispatched."""
        for name, job in self.jobs.items():
            try:
                for kind, job_type in job.follow_ups.items():
                    self.check_follow_up(kind, job_type)
            except errors.InvalidFollowUp as error:
                raise errors.InvalidDefinition(
                    f"JOBS: {name!r} ({job.declared_in}): {error}"
                ) from None

    def _check_recurring(self) -> None:
        """Raise InvalidDefinition for schedules that can't be dispatched.

        Also raise it if there are too many schedules, or if their names are too long, because one
        item of the table lists all schedules of a deploy.
        """
        # Imported here because only a build and a timer need it.
        from job_runners.store import schedule_marks

        size = schedule_marks.size_of(
            (recurring.organization_id, name) for name, recurring in self.recurring.items()
        )
        if size > schedule_marks.MAX_BYTES:
            raise errors.InvalidDefinition(
                f"RECURRING: {len(self.recurring):,} schedules are declared; their names and "
                f"organizations take {size:,} bytes, and the limit is "
                f"{schedule_marks.MAX_BYTES:,}: "
                "shorten the names, or create some schedules with PUT /schedules/{name}"
            )
        for name, recurring in self.recurring.items():
            try:
                self._check_one_recurring(recurring)
            except (
                errors.InvalidDefinition,
                errors.UnknownJobType,
                errors.InvalidPayload,
                errors.PayloadTooLarge,
            ) as error:
                raise errors.InvalidDefinition(
                    f"RECURRING: {name!r} ({recurring.declared_in}): {error}"
                ) from None

    def _check_one_recurring(self, recurring: "Recurring") -> None:
        # Imported here because only a build needs it.
        from job_runners.store.schedule import check_payload

        recurring.check()
        payload = dict(recurring.payload)
        self.check_new_job(recurring.job_type, payload)
        try:
            check_payload(payload)
        except (TypeError, ValueError, RecursionError) as error:
            raise errors.InvalidDefinition(f"Recurring(payload=): must be JSON: {error}") from None

    def loadable(self) -> "Registry":
        """Return a registry of the jobs and tasks that can be loaded, and log the others.

        One broken definition must not hide the others from a caller that lists them.
        """
        return self.__replace__(jobs=_only_loadable(self.jobs), tasks=_only_loadable(self.tasks))

    def modules(self) -> list[str]:
        """Return the names of the modules that JOBS, TASKS and AROUND refer to."""
        modules = {work.module for work in (*self.jobs.values(), *self.tasks.values())}
        for around in self.around:
            if isinstance(around.source, str):
                modules.add(around.source.partition(":")[0])
        return sorted(modules)

    def refuse_internal(self, name: str, dispatched_by: str | None = None) -> None:
        """Raise InternalJobType for an internal job that `dispatched_by` may not dispatch.

        `dispatched_by` is the job type of the parent, `InternalJob.API`, or None for a caller.
        """
        job = self.job(name)
        if isinstance(job, InternalJob) and dispatched_by not in job.dispatched_by:
            raise errors.InternalJobType(name)

    def check_new_job(
        self, name: str, payload: Any, dispatched_by: str | None = None
    ) -> "BaseModel":
        """Return the payload of a job to dispatch, as an instance of its model.

        Raises UnknownJobType and FunctionNotLoaded. Raises InvalidPayload, even if the only error
        is a field that the model doesn't define. For `dispatched_by`, see `refuse_internal`.
        """
        self.refuse_internal(name, dispatched_by)
        return self.job(name).validate_new(name, payload)

    def check_follow_up(self, kind: str, job_type: str) -> Job:
        """Return the job of a follow-up. `kind` is "on_end" or "on_failure".

        Raises InvalidFollowUp if that job can't have this follow-up. Raises FunctionNotLoaded.
        """
        from job_runners.work import job_ended  # imported here because most jobs aren't followed up

        try:
            job = self.job(job_type)
            self.refuse_internal(job_type)
            for sample_payload in job_ended.samples(kind):
                self.job_payload(job_type, sample_payload)
        except (errors.UnknownJobType, errors.InvalidPayload) as error:
            raise errors.InvalidFollowUp(kind, job_type, str(error)) from None
        if job.unique is not None:
            raise errors.InvalidFollowUp(
                kind, job_type, "It is unique, so a follow-up could be dropped as a duplicate."
            )
        return job

    def job_payload(self, name: str, payload: Any) -> "BaseModel":
        """Return the payload of a job that a worker has received, as an instance of its model.

        Fields that the model doesn't define are dropped. Raises UnknownJobType, InvalidPayload or
        FunctionNotLoaded.
        """
        return self.job(name).validate(name, payload)

    def task_payload(self, name: str, payload: Any) -> "BaseModel":
        """Return the payload of a task that a worker has received, as an instance of its model.

        Fields that the model doesn't define are dropped. Raises UnknownTask, InvalidPayload or
        FunctionNotLoaded.
        """
        return self.task(name).validate(name, payload)


def _hint_for_class(worker: str, declared: Collection[str]) -> str:
    """Return what to do about a worker class that isn't declared."""
    # Imported here because only this error needs it.
    from difflib import get_close_matches

    nearest = get_close_matches(worker, declared, n=1)
    return f"Did you mean {nearest[0]}?" if nearest else "Declare it, or correct worker="


def _only_loadable(definitions: Mapping[str, _Work]) -> dict[str, _Work]:
    """Return the definitions that can be loaded, and log the others."""
    loaded = {}
    for name, work in definitions.items():
        try:
            work.load()
        except FunctionNotLoaded as error:
            telemetry.not_loaded(name, error)
        else:
            loaded[name] = work
    return loaded


@cache
def registry() -> Registry:
    """Return the registry. The first call builds it from the built-in modules and app packages.

    Raises NameTakenTwice, InvalidDefinition, and any error that importing the app's packages
    raises.
    """
    built_in_modules = {name: import_module(name) for name in _BUILT_IN_MODULES}
    app_modules = {name: import_app_module(name) for name in settings().app_packages}
    _refuse_app_without_tables(app_modules)
    modules = built_in_modules | app_modules

    def tables(table_name: str) -> _Tables:
        return {
            f"{name}.{table_name}": getattr(module, table_name)
            for name, module in modules.items()
            if hasattr(module, table_name)
        }

    return Registry(
        _merge("job", Job, tables("JOBS")),
        _merge("task", Task, tables("TASKS")),
        _merge_around(tables("AROUND")),
        _merge("queue", Queue, tables("QUEUES"), is_valid=names.is_name),
        _merge_recurring(tables("RECURRING")),
    )


def _refuse_app_without_tables(app_modules: Mapping[str, ModuleType]) -> None:
    """Raise InvalidDefinition if no package of the app defines a table.

    One package with a table is enough. The others may have only code, like most Django apps.
    """
    has_table = any(
        hasattr(module, name) for module in app_modules.values() for name in TABLE_NAMES
    )
    if app_modules and not has_table:
        packages = " and ".join(app_modules)
        subject = f"{packages} define"
        if len(app_modules) == 1:
            subject = f"the package {packages} defines"
        raise errors.InvalidDefinition(
            f"{subject} none of {', '.join(TABLE_NAMES[:-1])} and {TABLE_NAMES[-1]}"
        )


def class_of_job(job_type: str) -> str | None:
    """Return the worker class that runs a job type. None is the default worker."""
    return _declared_class(registry().jobs.get(job_type))


def class_of_task(name: str) -> str | None:
    """Return the worker class that runs a task. None is the default worker."""
    return _declared_class(registry().tasks.get(name))


def _declared_class(work: Job | Task | None) -> str | None:
    """Return the worker class of the work, or None for the default worker.

    Also return None if this process doesn't know the class. This may happen during a deploy, while
    a function has new code but old environment variables.
    """
    if work is None or work.worker is None:
        return None
    if work.worker in (settings().worker_classes or ()):
        return work.worker
    _report_undeclared(work.worker)
    return None


@cache
def _report_undeclared(worker: str) -> None:
    telemetry.worker_class_undeclared(worker)


def _merge_recurring(tables: _Tables) -> "dict[str, Recurring]":
    if not any(tables.values()):
        return {}
    # Imported here because many apps have no schedules.
    from job_runners.work.recurring import Recurring

    return _merge("schedule", Recurring, tables, is_valid=names.is_name)


def _merge_around(tables: _Tables) -> tuple[Around, ...]:
    """Return the context managers of every AROUND, in the order of the tables."""
    context_managers: list[Around] = []
    for place, table in tables.items():
        if not isinstance(table, list | tuple):
            raise errors.InvalidDefinition(f"{place} must be a list or a tuple")
        context_managers += [
            Around(source, f"{place}[{index}]") for index, source in enumerate(table)
        ]
    return tuple(context_managers)


def _merge(
    kind: str,
    definition_class: type[_Definition],
    tables: _Tables,
    *,
    is_valid: Callable[[str], bool] = lambda name: True,
) -> dict[str, _Definition]:
    """Check all these tables, and return their definitions in one dict.

    `kind` is the word for a definition in errors, such as "job". `is_valid` returns whether a key
    of a table is a valid name.
    """
    merged: dict[str, _Definition] = {}
    places: dict[str, str] = {}  # where each name is defined
    class_name = definition_class.__name__
    for place, table in tables.items():
        if not isinstance(table, Mapping):
            raise errors.InvalidDefinition(f"{place} must map names to {class_name}s")
        for name, definition in table.items():
            if not isinstance(name, str) or not isinstance(definition, definition_class):
                raise errors.InvalidDefinition(f"{place}: {name!r} must map to a {class_name}")
            if not is_valid(name):
                raise errors.InvalidDefinition(f"{place}: {name!r} must be {names.RULE}")
            if name in merged:
                raise NameTakenTwice(kind, str(name), places[name], place)
            merged[str(name)] = definition
            places[str(name)] = place
    return merged
