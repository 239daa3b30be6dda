"""Log and count what happens to schedules. Each function is named after its event."""

from typing import TYPE_CHECKING, Any

from job_runners import clock
from job_runners.engine.telemetry import log, metrics
from job_runners.engine.telemetry.log import logger
from job_runners.store.job_request import JobRequest

if TYPE_CHECKING:
    from job_runners.store.schedule import Schedule
    from job_runners.store.schedules import Progress


def changed(schedule: "Schedule", event: str) -> None:
    """Log a caller's change to a schedule, such as "schedule paused"."""
    log.write(logger.info, event, **_schedule_fields(schedule) | log.caller_fields())


def declared(organization_id: str, name: str) -> None:
    """Log that a declared schedule was written to the table."""
    log.write(logger.info, "schedule declared", schedule=name, organization_id=organization_id)


def not_declared(organization_id: str, name: str, reason: str) -> None:
    """Log that a declared schedule could not be written. The timer retries in a few minutes."""
    log.write(
        logger.error,
        "schedule not declared",
        schedule=name,
        organization_id=organization_id,
        why=reason,
    )


def removed(schedule: "Schedule") -> None:
    """Log that a schedule was removed because no deploy declares it any more."""
    log.write(logger.info, "schedule removed", **_schedule_fields(schedule))


def occurrence_started(
    row: JobRequest, schedule: "Schedule", progress: "Progress", occurrence: int
) -> None:
    """Log and count an occurrence whose job was saved, and how late it was."""
    lateness = clock.now() - occurrence
    fields = _schedule_fields(schedule) | {"occurrence": clock.iso(occurrence)}
    log.write(logger.info, "occurrence started", job_id=row.id, **fields, late_ms=lateness)
    metrics.emit("job_type", row.job_type, OccurrenceLate=lateness)
    occurrences_skipped(schedule, progress)


def occurrences_skipped(schedule: "Schedule", progress: "Progress") -> None:
    """Log and count the occurrences that a schedule skips.

    Occurrences that it gives up, because their jobs were refused, are only counted.
    """
    if progress.skips is not None:
        log.write(
            logger.warning,
            "occurrences left out",
            **_schedule_fields(schedule),
            number=progress.skips.total,
            last=clock.iso(progress.skips.last_at),
            why=progress.skips.why,
        )
        metrics.emit("job_type", schedule.job_type, OccurrencesSkipped=progress.skips.total)
    if progress.failed:
        metrics.emit("job_type", schedule.job_type, OccurrencesFailed=len(progress.failed))


def occurrence_refused(
    schedule: "Schedule", occurrence: int, error: Exception, *, gives_up: bool
) -> None:
    """Log an occurrence whose job was refused. Count it if it isn't tried again."""
    fields = _schedule_fields(schedule) | {"occurrence": clock.iso(occurrence)}
    if gives_up:
        log.write(logger.error, "occurrence given up", error, **fields)
        metrics.emit("job_type", schedule.job_type, OccurrencesFailed=1)
    else:
        log.write(logger.warning, "occurrence refused, will retry", error, **fields)


def _schedule_fields(schedule: "Schedule") -> dict[str, Any]:
    return {"schedule": schedule.name, "organization_id": schedule.organization_id}
