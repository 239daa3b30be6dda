"""The timer: everything due gets what it waits for, and is moved or removed."""

from collections import Counter
from typing import Any

import pytest

import job_rows
import job_runners.handlers.timer
import job_runners.handlers.worker
import moto_items
from api_worker import create_delay_queue, send_to_lambda
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.running import execution
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.errors import JobRunnersError, SendFailed
from job_runners.store import conditional_write, job_request, queries, transitions
from job_runners.store.job_request import JobRequest, Lane, Status, due_shard, due_shards
from job_runners.testing.aws import forget
from job_runners.testing.lambda_context import Context
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws", "sample_work")

read = job_rows.stored


@pytest.fixture
def sample_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    script.reset()


class Post:
    """Keeps what is sent; fails when told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[Message, float]] = []
        self.down = False

    def __call__(self, message: Message, delay: float = 0) -> None:
        if self.down:
            raise SendFailed("a message", "the worker is away")
        self.sent.append((message, delay))

    @property
    def ids(self) -> list[str]:
        return [message.id for message, _ in self.sent]


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = clock.now()
        monkeypatch.setattr(clock, "now", lambda: self.time)

    def pass_(self, milliseconds: int) -> None:
        self.time += milliseconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def post() -> Post:
    return Post()


def tick(post: Post) -> timer.TickResult:
    return timer.tick(post, until=clock.now() + clock.MINUTE)


def test_a_queued_row_is_left_alone_while_its_message_may_still_arrive(
    time: Clock, post: Post
) -> None:
    job_rows.saved()
    time.pass_(59_000)
    assert tick(post).counts == Counter()
    assert post.sent == []


def test_a_row_nobody_claimed_is_sent_again_with_a_new_send_id(time: Clock, post: Post) -> None:
    row = job_rows.saved()
    time.pass_(61_000)
    result = tick(post)
    assert (result.counts, result.lag) == (Counter({timer.Disposition.SENT: 1}), 1_000)
    ((message, delay),) = post.sent
    assert isinstance(message, JobMessage)
    assert (message.id, delay) == (row.id, 0)
    assert read(row).send_id is None  # only a claim writes it


def test_looks_at_an_unclaimed_row_double_up_to_an_hour(time: Clock, post: Post) -> None:
    row = job_rows.saved()
    gaps = []
    for _ in range(10):
        due = read(row).due_at or 0
        gaps.append(round((due - time.time) / clock.MINUTE))
        time.time = due
        assert tick(post).counts[timer.Disposition.SENT] == 1
    assert gaps == [1, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_day_of_backlog_is_sent_in_proportion_to_its_jobs(
    time: Clock, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_request, "DUE_SHARDS", 2)  # 144 ticks ask each
    jobs = [job_rows.saved() for _ in range(5)]
    for _ in range(24 * 6):
        time.pass_(10 * clock.MINUTE)
        tick(post)
    assert 20 * len(jobs) <= len(post.sent) <= 32 * len(jobs)  # not one a tick: that would be 144


def test_a_running_row_with_a_live_lease_is_looked_at_again_when_it_is_over(
    time: Clock, post: Post
) -> None:
    row = job_rows.claimed(deadline=clock.now() + 900_000)
    time.pass_(61_000)
    assert tick(post).counts == Counter({timer.Disposition.LEASED: 1})
    assert read(row).due_at == row.lease_until
    assert tick(post).counts == Counter()
    assert post.sent == []


def test_healthy_running_rows_do_not_starve_what_is_due(
    time: Clock, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timer, "_MAX_ROWS", 5)
    for _ in range(30):
        job_rows.claimed(deadline=clock.now() + 900_000)
    time.pass_(10)
    late = job_rows.saved()
    time.pass_(61_000)
    for _ in range(4):
        tick(post)
    assert post.ids == [late.id]


def test_what_is_due_is_met_oldest_first_across_shards(time: Clock, post: Post) -> None:
    jobs = []
    for _ in range(12):
        jobs.append(job_rows.saved())
        time.pass_(10)
    time.pass_(61_000)
    tick(post)
    assert post.ids == [job.id for job in jobs]


def test_a_tagged_job_whose_lease_has_run_out_is_retried(time: Clock, post: Post) -> None:
    row = job_rows.claimed(deadline=clock.now() + 10_000)
    time.pass_(71_000)
    assert tick(post).counts == Counter({timer.Disposition.RESCUED: 1})
    row = read(row)
    assert (row.status, row.attempt, row.error["kind"]) == (Status.RETRYABLE, 2, "Interrupted")
    assert post.ids == [row.id]


def test_an_untagged_job_whose_lease_has_run_out_fails_as_interrupted(
    time: Clock, post: Post
) -> None:
    row = job_rows.claimed(job_rows.saved(max_attempts=1), clock.now() + 10_000)
    time.pass_(71_000)
    tick(post)
    row = read(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "Interrupted")
    assert "may already have had side effects" in row.error["message"]
    assert post.sent == []


def test_a_finished_row_is_never_met(time: Clock, post: Post) -> None:
    transitions.succeed(job_rows.claimed(), None)
    time.pass_(clock.DAY)
    assert tick(post).counts == Counter()


def test_a_row_that_finishes_between_index_and_read_is_left_alone(
    time: Clock, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = job_rows.claimed()
    ghost = JobRequest(id=row.id, due_at=row.due_at)
    transitions.succeed(row, None)
    monkeypatch.setattr(
        queries, "due", lambda shard, *_, **__: iter([ghost] if shard == "0" else [])
    )
    time.pass_(61_000)
    assert tick(post).counts == Counter({timer.Disposition.MOVED: 1})
    assert read(row).status is Status.SUCCEEDED


def test_when_the_worker_is_away_the_rest_waits_and_nothing_is_lost(
    time: Clock, post: Post
) -> None:
    jobs = {job_rows.saved().id for _ in range(6)}
    time.pass_(61_000)
    post.down = True
    assert tick(post).send_failures == 3
    post.down = False
    for _ in range(3):
        tick(post)
        time.pass_(clock.MINUTE)
    assert set(post.ids) == jobs


def test_a_row_is_moved_before_its_message_is_sent(time: Clock, post: Post) -> None:
    """Whoever is killed between the two has not sent the same message with every tick."""
    row = job_rows.saved()
    time.pass_(61_000)
    due: list[int | None] = []

    def send(message: Message, delay: float = 0) -> None:
        due.append(read(row).due_at)

    timer.tick(send, until=clock.now() + clock.MINUTE)
    assert due == [read(row).due_at]
    assert (due[0] or 0) > clock.now()


def test_a_row_that_can_not_be_read_keeps_no_other_waiting(time: Clock, post: Post) -> None:
    for _ in range(4):
        job_rows.make_unreadable(job_rows.saved())
    time.pass_(10)
    row = job_rows.saved()
    time.pass_(61_000)
    assert tick(post).counts == Counter({timer.Disposition.BROKEN: 4, timer.Disposition.SENT: 1})
    assert post.ids == [row.id]


def test_a_row_that_can_not_be_read_is_out_of_the_way_for_an_hour(time: Clock, post: Post) -> None:
    """And leaves the lane of rows that a tick meets first: many of them would fill it."""
    row = job_rows.saved()
    transitions.postpone(row, row.due_at or 0, Lane.PROMPT)
    job_rows.make_unreadable(row)
    time.pass_(61_000)
    assert tick(post).counts[timer.Disposition.BROKEN] == 1
    assert tick(post).counts == Counter()
    stored = moto_items.row("jobs", {"id": {"S": row.id}})
    assert stored["due_shard"] == due_shard(row.id, Lane.HELD)
    time.pass_(clock.HOUR + 1)
    assert tick(post).counts[timer.Disposition.BROKEN] == 1


def test_a_shard_that_can_not_be_read_keeps_no_other_waiting(
    time: Clock, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = queries.due

    def throttled(shard: str, *arguments: Any, **options: Any) -> Any:
        if shard[-1] != (row.due_shard or "")[-1]:
            raise ConnectionError("throttled")
        return due(shard, *arguments, **options)

    row = job_rows.saved()
    monkeypatch.setattr(queries, "due", throttled)
    time.pass_(61_000)
    tick(post)
    assert post.ids == [row.id]


# --- as a worker process that polls uses it -------------------------------------------------------


def poll(post: Post) -> Counter[timer.Disposition]:
    return timer.send_next(post, early_by=conditional_write.GRACE, page_size=25)


def test_a_poll_takes_a_job_at_once_and_then_leaves_it_alone(time: Clock, post: Post) -> None:
    row = job_rows.saved()
    assert poll(post) == Counter({timer.Disposition.SENT: 1})
    for _ in range(3):  # nobody could claim it: an unknown job type, say
        assert poll(post) == Counter()
    assert post.ids == [row.id]


def test_a_poll_is_not_held_up_by_a_lease_that_is_nearly_over(time: Clock, post: Post) -> None:
    dead = job_rows.claimed(deadline=clock.now() - 30_000)
    time.pass_(10)
    row = job_rows.saved()
    for _ in range(3):
        poll(post)
    assert post.ids == [row.id]
    assert read(dead).status is Status.RUNNING


def test_a_poll_does_not_take_a_retry_before_its_time(time: Clock, post: Post) -> None:
    row = job_rows.claimed()
    job_rows.retry(row, after=30_000)
    assert poll(post)[timer.Disposition.SENT] == 0
    time.pass_(30_000)
    assert poll(post)[timer.Disposition.SENT] == 1


@pytest.mark.parametrize("running", [24, 25, 60])
def test_a_poll_reads_on_past_rows_that_it_can_not_move(
    time: Clock, post: Post, running: int
) -> None:
    """Rows that others run are due in a minute, as is the one that was just saved."""
    for _ in range(running):
        job_rows.claimed()
    time.pass_(10)
    row = job_rows.saved()
    poll(post)
    assert post.ids == [row.id]


def test_a_tick_ends_in_time_and_at_its_cap(
    time: Clock, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        job_rows.saved()
        time.pass_(10)
    time.pass_(61_000)
    monkeypatch.setattr(timer, "_MAX_ROWS", 1)
    assert tick(post).counts == Counter({timer.Disposition.SENT: 2})
    assert timer.tick(post, until=clock.now()).counts == Counter()


def test_an_unknown_job_type_is_left_queued_and_sent_again(time: Clock, post: Post) -> None:
    row = job_rows.saved()
    message = JobMessage.about(row)._replace(job_type="from_a_newer_deploy")
    execution.run(message, deadline=clock.now() + 1000, send=post)
    assert read(row).status is Status.QUEUED
    time.pass_(61_000)
    tick(post)
    assert post.ids == [row.id]


# --- the function ---------------------------------------------------------------------------------


@pytest.fixture
def on_lambda(monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    send_to_lambda(monkeypatch, create_delay_queue())
    return FakeLambda()


def test_every_minute_the_function_sends_what_is_due_and_says_how_late_it_was(
    on_lambda: FakeLambda, time: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    row = job_rows.saved()
    time.pass_(65_000)
    job_runners.handlers.timer.handler({"source": "aws.events"}, Context())  # type: ignore[arg-type]
    assert [event["id"] for event in on_lambda.events] == [row.id]
    assert '"TimerLag":[5000.0]' in capsys.readouterr().out.replace(" ", "")


def test_a_delayed_message_that_can_not_be_sent_goes_back_to_its_queue(
    on_lambda: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    on_lambda.refuse = 429
    body = '{"v":1,"kind":"job","id":"i","job_type":"sample_once","send_id":"s","queue_name":"q"}'
    records = {"Records": [{"messageId": "m1", "body": body}]}
    answer = job_runners.handlers.timer.handler(records, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    on_lambda.refuse = None
    answer = job_runners.handlers.timer.handler(records, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    assert [event["id"] for event in on_lambda.events] == ["i"]


def test_of_a_batch_only_what_failed_goes_back(on_lambda: FakeLambda) -> None:
    good = '{"v":1,"kind":"job","id":"i","job_type":"sample_once","send_id":"s","queue_name":"q"}'
    records = [
        {"messageId": "m1", "body": "not a message"},
        {"messageId": "m2", "body": good},
        {"messageId": "m3", "body": '{"v":3,"kind":"job"}'},
    ]
    answer = job_runners.handlers.timer.handler({"Records": records}, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m3"}]}
    assert [event["id"] for event in on_lambda.events] == ["i"]


def test_delayed_messages_that_there_is_no_time_for_go_back_and_those_sent_do_not(
    on_lambda: FakeLambda, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten messages, and a Lambda that takes 10 s for each: the function has 60 s."""
    answered = on_lambda._answer

    def slowly(request: Any, **how: Any) -> Any:
        time.pass_(10_000)
        return answered(request, **how)

    events = clients.client("lambda").meta.events
    events.unregister("before-send.lambda.Invoke", on_lambda._answer)
    events.register_first("before-send.lambda.Invoke", slowly)
    body = '{"v":1,"kind":"job","id":"i","job_type":"sample_once","send_id":"s","queue_name":"q"}'
    records = [{"messageId": f"m{number}", "body": body} for number in range(10)]
    context = Context(seconds=60)
    answer = job_runners.handlers.timer.handler({"Records": records}, context)  # type: ignore[arg-type]
    assert answer is not None
    back = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
    assert context.get_remaining_time_in_millis() > 0
    assert back == [f"m{number}" for number in range(len(on_lambda.events), 10)]
    assert on_lambda.events


# --- the worker function --------------------------------------------------------------------------


def test_the_lease_ends_with_the_invocation(time: Clock) -> None:
    row = job_rows.saved()
    seen: list[int | None] = []
    script.job = lambda job, payload: seen.append(read(row).lease_until)
    event = {"v": 1, "kind": "job", "id": row.id, "job_type": "sample_again", "send_id": "s9"}
    event["queue_name"] = "default"
    job_runners.handlers.worker.handler(event, Context(seconds=30))  # type: ignore[arg-type]
    assert seen == [clock.now() + 30_000 + transitions.SKEW]
    assert read(row).send_id == "s9"


def test_a_job_message_of_a_newer_version_is_left_for_later() -> None:
    row = job_rows.saved()
    event = {"v": 3, "kind": "job", "id": row.id}
    job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]
    assert read(row).status is Status.QUEUED


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"v": 3, "kind": "task"}, "UnknownMessageVersion"),
        ({"v": 1, "kind": "task", "id": "t", "name": "new", "attempt": 1}, "UnknownTask"),
        ({"v": 1, "kind": "job", "id": 7}, "MalformedMessage"),
        ({"v": 1, "kind": "letter"}, "MalformedMessage"),
        ({"hello": "world"}, "MalformedMessage"),
        ({"Records": []}, "MalformedMessage"),  # lambda-async has no batches
    ],
)
def test_what_has_no_row_to_wait_in_raises_so_that_lambda_keeps_the_event(
    event: dict[str, object], error: str
) -> None:
    with pytest.raises(JobRunnersError) as raised:
        job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]
    assert type(raised.value).__name__ == error


def test_the_page_of_due_rows_is_one_shards(time: Clock) -> None:
    ids = {job_rows.saved().id for _ in range(40)}
    shards = [
        [row.id for row in queries.due(shard, clock.now() + clock.MINUTE, 100)]
        for shard in due_shards(Lane.QUEUED)
    ]
    assert {each for shard in shards for each in shard} == ids
    assert sum(bool(shard) for shard in shards) > 1
