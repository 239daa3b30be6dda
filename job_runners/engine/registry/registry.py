"""The registry: the definitions of jobs, tasks, queues and schedules, built-in and the app's own.

Names and options are available immediately. For an entry of the form "package.module:function", the
function and payload model are imported at first use.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from job_runners import names
from job_runners.engine.registry.app_modules import import_added
from job_runners.engine.registry.errors import BrokenEntries, NameTakenTwice
from job_runners.engine.telemetry import telemetry
from job_runners.errors import (
    InternalJobType,
    InvalidDefinition,
    InvalidFollowUp,
    InvalidPayload,
    PayloadTooLarge,
    UnknownJobType,
    UnknownTask,
)
from job_runners.settings import settings
from job_runners.values import Value, field
from job_runners.work.around import Around
from job_runners.work.definitions import InternalJob, Job, Task
from job_runners.work.errors import EntryNotLoaded
from job_runners.work.queues import Queue

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.work.recurring import Recurring

_D = TypeVar("_D", Job, Task)
_E = TypeVar("_E", Job, Task, Queue, "Recurring")


# The tables of definitions that a module of the app may have.
ATTRIBUTES = ("JOBS", "TASKS", "QUEUES", "RECURRING", "AROUND")


class Registry(Value):
    """Every job and task of this process, every queue with limits, and every declared schedule."""

    jobs: Mapping[str, Job]
    tasks: Mapping[str, Task]
    around: Sequence[Around] = ()  # the context managers around each, the outermost first
    queues: Mapping[str, Queue] = field(default_factory=dict)
    recurring: "Mapping[str, Recurring]" = field(default_factory=dict)

    def job(self, name: str) -> Job:
        """Return the job with this name.

        Raises UnknownJobType, which suggests the nearest name.
        """
        if name not in self.jobs:
            raise UnknownJobType(name, self.jobs)
        return self.jobs[name]

    def task(self, name: str) -> Task:
        """Return the task with this name. Raises UnknownTask, which suggests the nearest name."""
        if name not in self.tasks:
            raise UnknownTask(name, self.tasks)
        return self.tasks[name]

    def load(self, work: Job | Task) -> None:
        """Load a job or task and the app's context managers. Raises EntryNotLoaded."""
        work.load()
        for each in self.around:
            _ = each.call

    def resolve_all(self) -> None:
        """Import and check every entry, for a build, a test, or a long-lived process.

        Raises BrokenEntries, which names each entry that can't be loaded, with its file and line.
        Raises InvalidDefinition for a definition that doesn't fit the others.
        """
        broken = []
        for kind, definitions in (("job", self.jobs), ("task", self.tasks)):
            for name, work in definitions.items():
                try:
                    work.load()
                except EntryNotLoaded as error:
                    broken.append(f"the {kind} {name!r}: {error}")
        for around in self.around:
            try:
                _ = around.call
            except EntryNotLoaded as error:
                broken.append(str(error))
        if broken:
            raise BrokenEntries(broken)
        self.check_worker_classes()
        self._check_queues()
        self._check_unique()
        self._check_follow_ups()
        self._check_recurring()

    def check_worker_classes(self) -> None:
        """Raise InvalidDefinition for work whose worker class isn't declared in app.toml.

        A process that doesn't know the declared classes checks nothing.
        """
        declared = settings().worker_classes
        for table, definitions in (("JOBS", self.jobs), ("TASKS", self.tasks)):
            for name, work in definitions.items():
                if declared is not None and work.worker not in (None, *declared):
                    from difflib import get_close_matches  # only this error needs it

                    near = get_close_matches(str(work.worker), declared, n=1)
                    hint = f"Did you mean {near[0]}?" if near else "Declare it, or correct worker="
                    raise InvalidDefinition(
                        f"{table}: {name!r} ({work.declared_in}): app.toml has no "
                        f"[workers.{work.worker}]. {hint}"
                    )

    def _check_queues(self) -> None:
        """Raise InvalidDefinition for a queue whose `per` doesn't fit the payloads of its jobs.

        Either no payload has the field that `per` names, or a payload has a field of that name that
        must not be used.
        """
        for name, queue in self.queues.items():
            its_jobs = {
                job_type: job for job_type, job in self.jobs.items() if name in job.allowed_queues
            }
            for job_type, job in its_jobs.items():
                if wrong := queue.wrong_for(job.payload_model):
                    raise InvalidDefinition(
                        f"QUEUES: {name!r}: {wrong} (the job {job_type!r}, {job.declared_in})"
                    )
            models = [job.payload_model for job in its_jobs.values()]
            if models and not any(map(queue.can_have_per_value, models)):
                raise InvalidDefinition(
                    f"QUEUES: {name!r}: Queue(per={queue.per!r}): no job in this queue has such a "
                    "field in its payload"
                )

    def _check_unique(self) -> None:
        """Raise InvalidDefinition for a job that is unique by a field that its payload lacks."""
        for name, job in self.jobs.items():
            if job.unique and (wrong := job.unique.wrong_for(job.payload_model)):
                raise InvalidDefinition(f"JOBS: {name!r} ({job.declared_in}): {wrong}")

    def _check_follow_ups(self) -> None:
        """Raise InvalidDefinition for a job whose follow-ups can't be dispatched."""
        for name, job in self.jobs.items():
            try:
                for kind, job_type in job.follow_ups.items():
                    self.check_follow_up(kind, job_type)
            except InvalidFollowUp as error:
                raise InvalidDefinition(f"JOBS: {name!r} ({job.declared_in}): {error}") from None

    def _check_recurring(self) -> None:
        """Raise InvalidDefinition for schedules that can't be dispatched.

        Also raise it if there are too many for the item that lists the schedules of a deploy.
        """
        # Imported here because only a build and a timer need it.
        from job_runners.store import schedule_marks

        size = schedule_marks.size_of(
            (each.organization_id, name) for name, each in self.recurring.items()
        )
        if size > schedule_marks.MAX_BYTES:
            raise InvalidDefinition(
                f"RECURRING: {len(self.recurring):,} schedules are declared; their names and "
                f"organizations take {size:,} bytes, and the limit is "
                f"{schedule_marks.MAX_BYTES:,}: "
                "shorten the names, or create some schedules with PUT /schedules/{name}"
            )
        for name, recurring in self.recurring.items():
            try:
                self._check_one_recurring(recurring)
            except (InvalidDefinition, UnknownJobType, InvalidPayload, PayloadTooLarge) as error:
                raise InvalidDefinition(
                    f"RECURRING: {name!r} ({recurring.declared_in}): {error}"
                ) from None

    def _check_one_recurring(self, recurring: "Recurring") -> None:
        # Imported here because only a build needs it.
        from job_runners.store.schedules import check_payload

        recurring.check()
        payload = dict(recurring.payload)
        self.check_new_job(recurring.job_type, payload)
        try:
            check_payload(payload)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidDefinition(f"Recurring(payload=): must be JSON: {error}") from None

    def loaded(self) -> "Registry":
        """Return a registry of the entries that can be loaded, and log the others.

        One broken entry must not hide the others from a caller that lists them.
        """
        return self.__replace__(jobs=_loaded(self.jobs), tasks=_loaded(self.tasks))

    def modules(self) -> list[str]:
        """Return the names of the modules that contain the work."""
        around = {
            each.entry.partition(":")[0] for each in self.around if isinstance(each.entry, str)
        }
        return sorted(
            around | {each.module for each in (*self.jobs.values(), *self.tasks.values())}
        )

    def new_job_payload(self, name: str, payload: Any) -> "BaseModel":
        """Return the payload of a job to dispatch, as an instance of its model.

        Raises UnknownJobType and EntryNotLoaded. Raises InvalidPayload, also for a field that the
        model doesn't define.
        """
        return self.job(name).validate_new(name, payload)

    def refuse_internal(self, name: str, dispatched_by: str | None = None) -> None:
        """Raise InternalJobType for an internal job that `dispatched_by` may not dispatch.

        `dispatched_by` is the job type of the parent, `InternalJob.API`, or None for a caller.
        """
        job = self.job(name)
        if isinstance(job, InternalJob) and dispatched_by not in job.dispatched_by:
            raise InternalJobType(name)

    def check_new_job(
        self, name: str, payload: Any, dispatched_by: str | None = None
    ) -> "BaseModel":
        """Return a payload as `new_job_payload` does. Raises the errors of `refuse_internal` and
        `new_job_payload`."""
        self.refuse_internal(name, dispatched_by)
        return self.new_job_payload(name, payload)

    def check_follow_up(self, kind: str, job_type: str) -> Job:
        """Return the job of a follow-up. `kind` is "on_end" or "on_failure".

        Raises InvalidFollowUp if that job can't have this follow-up. Raises EntryNotLoaded.
        """
        from job_runners.work import job_ended  # imported here because most jobs have none

        try:
            job = self.job(job_type)
            self.refuse_internal(job_type)
            for sample in job_ended.samples(kind):
                self.job_payload(job_type, sample)
        except (UnknownJobType, InvalidPayload) as error:
            raise InvalidFollowUp(kind, job_type, str(error)) from None
        if job.unique is not None:
            raise InvalidFollowUp(
                kind, job_type, "It is unique, so a follow-up could be dropped as a duplicate."
            )
        return job

    def new_task_payload(self, name: str, payload: Any) -> "BaseModel":
        """Return the payload of a task to dispatch, as an instance of its model.

        Raises UnknownTask and EntryNotLoaded. Raises InvalidPayload, also for a field that the
        model doesn't define.
        """
        return self.task(name).validate_new(name, payload)

    def job_payload(self, name: str, payload: Any) -> "BaseModel":
        """Return the payload of a job that a worker has received, as an instance of its model.

        Fields that the model doesn't define are dropped. Raises UnknownJobType, InvalidPayload or
        EntryNotLoaded.
        """
        return self.job(name).validate(name, payload)

    def task_payload(self, name: str, payload: Any) -> "BaseModel":
        """Return the payload of a task that a worker has received, as an instance of its model.

        Fields that the model doesn't define are dropped. Raises UnknownTask, InvalidPayload or
        EntryNotLoaded.
        """
        return self.task(name).validate(name, payload)


def _loaded(definitions: Mapping[str, _D]) -> dict[str, _D]:
    found = {}
    for name, work in definitions.items():
        try:
            work.load()
        except EntryNotLoaded as error:
            telemetry.not_loaded(name, error)
        else:
            found[name] = work
    return found


@cache
def registry() -> Registry:
    """Return the registry, which is built at the first call.

    Raises NameTakenTwice and InvalidDefinition. An error while importing one of the app's packages
    is raised as it is.
    """
    tables = [
        _built_in("job_runners.shipped.jobs.table", "JOBS"),
        _built_in("job_runners.shipped.tasks.table", "TASKS"),
    ]
    added = {name: import_added(name) for name in settings().app_packages}
    found = [
        (name, attribute, getattr(module, attribute))
        for name, module in added.items()
        for attribute in ATTRIBUTES
        if hasattr(module, attribute)
    ]
    if added and not found:  # other packages may have only code, such as the apps of a Django site
        packages = " and ".join(added)
        subject = f"the package {packages} defines" if len(added) == 1 else f"{packages} define"
        raise InvalidDefinition(
            f"{subject} none of {', '.join(ATTRIBUTES[:-1])} and {ATTRIBUTES[-1]}"
        )
    tables += found
    return Registry(
        _merge("job", "JOBS", Job, tables),
        _merge("task", "TASKS", Task, tables),
        _around(tables),
        _queues(tables),
        _recurring(tables),
    )


def class_of_job(job_type: str) -> str | None:
    """Return the worker class that runs a job type. None is the default worker."""
    return _declared_class(registry().jobs.get(job_type))


def class_of_task(name: str) -> str | None:
    """Return the worker class that runs a task. None is the default worker."""
    return _declared_class(registry().tasks.get(name))


def _declared_class(work: Job | Task | None) -> str | None:
    """Return the worker class of the work, or None if this stack has no function for it.

    While a deploy changes the functions, one may have new code and old variables.
    """
    if work is None or work.worker is None:
        return None
    if work.worker in (settings().worker_classes or ()):
        return work.worker
    _report_undeclared(work.worker)
    return None


@cache
def _report_undeclared(worker: str) -> None:
    telemetry.undeclared_class(worker)


def _queues(tables: "list[_Table]") -> dict[str, Queue]:
    _check_names("QUEUES", tables)
    return _merge("queue", "QUEUES", Queue, tables)


def _recurring(tables: "list[_Table]") -> "dict[str, Recurring]":
    if not any(entries for _, attribute, entries in tables if attribute == "RECURRING"):
        return {}
    # Imported here because most stacks have no schedules.
    from job_runners.work.recurring import Recurring

    _check_names("RECURRING", tables)
    return _merge("schedule", "RECURRING", Recurring, tables)


def _check_names(attribute: str, tables: "list[_Table]") -> None:
    for module, table_name, entries in tables:
        for name in entries if table_name == attribute else ():
            if isinstance(name, str) and not names.is_name(name):
                raise InvalidDefinition(f"{module}.{attribute}: {name!r} must be {names.RULE}")


_Table = tuple[str, str, Any]  # module, attribute, the table


def _built_in(module: str, attribute: str) -> _Table:
    return module, attribute, getattr(import_module(module), attribute)


def _around(tables: list[_Table]) -> tuple[Around, ...]:
    """Return the context managers of every AROUND, in the order of the tables."""
    found: list[Around] = []
    for module, attribute, entries in tables:
        if attribute != "AROUND":
            continue
        if not isinstance(entries, list | tuple):
            raise InvalidDefinition(f"{module}.AROUND must be a list or a tuple")
        found += [Around(entry, f"{module}.AROUND[{n}]") for n, entry in enumerate(entries)]
    return tuple(found)


def _merge(kind: str, attribute: str, definition: type[_E], tables: list[_Table]) -> dict[str, _E]:
    merged: dict[str, _E] = {}
    origin: dict[str, str] = {}
    for module, table_name, table in tables:
        if table_name != attribute:
            continue
        place = f"{module}.{attribute}"
        if not isinstance(table, Mapping):
            raise InvalidDefinition(f"{place} must map names to {definition.__name__}s")
        for name, entry in table.items():
            if not isinstance(name, str) or not isinstance(entry, definition):
                raise InvalidDefinition(f"{place}: {name!r} must map to a {definition.__name__}")
            if name in merged:
                raise NameTakenTwice(kind, str(name), origin[name], place)
            merged[str(name)] = entry
            origin[str(name)] = place
    return merged
