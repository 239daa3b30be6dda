"""Log and count the changes and the occurrences of schedules."""

from typing import TYPE_CHECKING, Any

from job_runners import clock
from job_runners.engine.telemetry import log, metrics
from job_runners.engine.telemetry.log import logger
from job_runners.store.job_request import JobRequest

if TYPE_CHECKING:
    from job_runners.store.schedules import Progress, Schedule


def changed(schedule: "Schedule", what: str) -> None:
    """Log a person's change to a schedule."""
    log.write(logger.info, what, **_schedule_fields(schedule) | log.caller_fields())


def declared(organization_id: str, name: str) -> None:
    """Log that a schedule that the code declares was written to the table."""
    log.write(logger.info, "schedule declared", schedule=name, organization_id=organization_id)


def not_declared(organization_id: str, name: str, why: str) -> None:
    """Log that a declared schedule could not be written. The timer retries in a few minutes."""
    log.write(
        logger.error,
        "schedule not declared",
        schedule=name,
        organization_id=organization_id,
        why=why,
    )


def removed(schedule: "Schedule") -> None:
    """Log that a schedule was removed because no deploy declares it any more."""
    log.write(logger.info, "schedule removed", **_schedule_fields(schedule))


def occurrence_started(
    row: JobRequest, schedule: "Schedule", progress: "Progress", at: int
) -> None:
    """Log and count an occurrence whose job was saved, and how late it was."""
    late = clock.now() - at
    fields = {**_schedule_fields(schedule), "occurrence": clock.iso(at), "late_ms": late}
    log.write(logger.info, "occurrence started", job_id=row.id, **fields)
    metrics.emit("job_type", row.job_type, OccurrenceLate=late)
    occurrences_skipped(schedule, progress)


def occurrences_skipped(schedule: "Schedule", progress: "Progress") -> None:
    """Log and count the occurrences that were skipped, and count those that failed."""
    if progress.skips is not None:
        log.write(
            logger.warning,
            "occurrences left out",
            **_schedule_fields(schedule),
            number=progress.skips.number,
            last=clock.iso(progress.skips.last_at),
            why=progress.skips.why,
        )
        metrics.emit("job_type", schedule.job_type, OccurrencesSkipped=progress.skips.number)
    if progress.failed:
        metrics.emit("job_type", schedule.job_type, OccurrencesFailed=len(progress.failed))


def occurrence_refused(schedule: "Schedule", at: int, error: Exception, *, gives_up: bool) -> None:
    """Log an occurrence whose job was refused. Count it if it isn't tried again."""
    write, what = (
        (logger.error, "occurrence given up")
        if gives_up
        else (logger.warning, "occurrence refused, will retry")
    )
    log.write(write, what, error, **_schedule_fields(schedule), occurrence=clock.iso(at))
    if gives_up:
        metrics.emit("job_type", schedule.job_type, OccurrencesFailed=1)


def _schedule_fields(schedule: "Schedule") -> dict[str, Any]:
    return {"schedule": schedule.name, "organization_id": schedule.organization_id}
