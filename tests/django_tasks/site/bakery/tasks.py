"""The tasks of the bakery."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from django.db import connection, connections, transaction
from django.tasks import TaskContext, task
from django.utils import timezone, translation
from django.utils.module_loading import import_string

from bakery.models import Mark, Order
from job_runners.django import job_options, max_attempts
from job_runners.work import DoNotRetry, NotDeployed, RetryAfter


class Boom(Exception):
    """An error of the bakery's own."""


@task
def bill(order_id: int) -> dict[str, int]:
    """Bill an order."""
    with transaction.atomic():
        order = Order.objects.get(pk=order_id)
        order.billed += 1
        order.save()
    return {"billed": order.billed}


@task(takes_context=True)
@max_attempts(3)
def flaky(context: TaskContext, works_at: int) -> list[Any]:
    """Fail before attempt `works_at`."""
    if context.attempt < works_at:
        raise Boom(f"attempt {context.attempt}")
    return [context.attempt, context.task_result.id, context.task_result.args]


@task
@max_attempts(3)
def give_up() -> None:
    """Fail in a way that no other attempt helps."""
    raise DoNotRetry("never helps")


@task
@max_attempts(2)
def later() -> None:
    """Ask for a wait."""
    raise RetryAfter(120)


@task
def stop() -> None:
    """Ask the process to exit."""
    raise SystemExit("bye")


@task
def fail() -> None:
    """Fail."""
    raise Boom("always")


@task
def slow() -> None:
    """Fail, with the attempts that the settings give to it."""
    raise Boom("slow")


@task(queue_name="mail")
async def mail(to: str) -> str:
    """Send an e-mail."""
    await asyncio.sleep(0)
    return f"sent to {to}, {await Order.objects.acount()} orders"


@task
def mark(text: str, times: int = 1) -> int:
    """Leave marks."""
    for _ in range(times):
        Mark.objects.create(text=text)
    return times


@task
@max_attempts(2)
def fan_out() -> list[str]:
    """Enqueue four tasks, two of which make the same call, and fail once after that."""
    ids = [
        mark.enqueue("same").id,
        mark.enqueue("same").id,
        mark.enqueue("other").id,
        mark.using(run_after=timezone.now() + timedelta(hours=1)).enqueue("later").id,
    ]
    with transaction.atomic():
        ids.append(mark.using(backend="commit").enqueue("committed").id)
    if not Mark.objects.filter(text="has failed once").exists():
        Mark.objects.create(text="has failed once")
        raise Boom("after the enqueues")
    return ids


@task
def leak() -> list[Any]:
    """Change the language and the zone, and leave a connection open."""
    before = [translation.get_language(), timezone.get_current_timezone_name()]
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    connection.ensure_connection()
    return before


@task
def not_json() -> object:
    """Return what JSON can't hold."""
    return object()


@task
def large() -> str:
    """Return more than a result may have."""
    return "x" * 2_600_000


@task
def needs_a_deploy() -> None:
    """Ask for code that this deploy lacks."""
    raise NotDeployed("the reports come tomorrow")


def plain() -> None:
    """Leave a mark that shows it was called. It isn't a task."""
    Mark.objects.create(text="plain was called")


another_name = task(plain)


@task
def import_and_call(path: str) -> None:
    """Call what a caller names, as a task of Wagtail does."""
    import_string(path)()


@task
def take_long() -> None:
    """Take a while. The tests move the clock of `time.sleep`, so this doesn't call it."""
    end = time.perf_counter() + 30
    while time.perf_counter() < end:
        pass


@task
def enqueue_for() -> list[str]:
    """Enqueue a task for the own organization, and one for another."""
    own = mark.enqueue("own").id
    with job_options(organization_id="horse"):
        return [own, mark.enqueue("other").id]


# What the fixture `hostile` records. A test sets it.
effects: Any = None


@task(takes_context=True)
@max_attempts(5)
def child(context: TaskContext, name: str) -> None:
    """Have an effect under the id of the job."""
    effects.record(name, idempotency_key=context.task_result.id)


@task
@max_attempts(5)
def parent() -> None:
    """Enqueue three tasks, two of which make the same call."""
    for name in ("a", "a", "b"):
        child.enqueue(name)


@task
@max_attempts(5)
def hasty() -> None:
    """Have an effect without a key."""
    effects.record("x")


@task
def count_in_postgres(ends: str) -> int:
    """Use a connection to Postgres, and return the process that served it."""
    warehouse = connections["warehouse"]
    with warehouse.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    if ends == "raises":
        raise Boom("with an open connection")
    if ends != "returns":
        warehouse.set_autocommit(False)
        with warehouse.cursor() as cursor:
            cursor.execute("CREATE TABLE t ()")
            raise Boom("in a transaction")
    return int(pid)
