"""A job that gathers, for tests: its members, their work, and what its invocations got."""

from typing import Any

from bench import Bench
from job_runners.engine.groups import markers
from job_runners.engine.settling.settle import check_group, settle
from job_runners.engine.wire.sending import Send
from job_runners.store import steps
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest
from job_runners.testing import moto_direct
from job_runners.work import Member
from sample_work import Sample, script


class Gathering:
    """A parent that gathers, the work of its members, and what the parent's invocations got."""

    def __init__(
        self,
        bench: Bench,
        members: list[Member] | int,
        *,
        job_type: str = "sample_once",
        queue_name: str | None = None,
        **options: Any,
    ) -> None:
        self.bench = bench
        self.members: Any = members
        if isinstance(members, int):
            self.members = [Member("sample_once", {"number": each}) for each in range(members)]
        self.options = options
        self.invocations = 0
        self.got: list[list[tuple[str, str, Any]]] = []
        self.counts: list[tuple[int, int]] = []
        self.fails: set[int] = set()  # the members that fail
        self.begun: list[int] = []
        script.job = self.work
        queue = {} if queue_name is None else {"queue_name": queue_name}
        self.row = bench.dispatch(job_type, payload={"text": "parent"}, **queue)

    def run_member(self, number: int) -> JobRequest:
        """Run one member, without the messages that its end sends."""
        return self.bench.run(self.member(number))

    def work(self, job: Any, payload: Sample) -> Any:
        """Do the work of the parent or of a member."""
        if payload.text != "parent":
            self.begun.append(payload.number)
            if payload.number in self.fails:
                raise ValueError(f"no luck with {payload.number}")
            return {"twice": 2 * payload.number}
        self.invocations += 1
        results = job.gather("all", iter(self.members), **self.options)
        self.counts.append((results.total, results.failed))
        self.got.append([(each.key, each.status, each.value) for each in results])
        return len(results)

    def start(self) -> JobRequest:
        """Run the parent until it waits, and return its row."""
        self.row = self.bench.run(self.row)
        return self.row

    def read(self) -> JobRequest:
        """Return the parent's row as it is now."""
        return self.bench.read(self.row)

    @property
    def group(self) -> Group:
        """Return the parent's group."""
        step = steps.find(self.row, "gather all")
        assert step is not None
        return Group(step.result["id"], step.result["shards"])

    def member(self, number: int) -> JobRequest:
        """Return the row of a member without a key of its own."""
        return self.bench.read(self.group.member_id(f"{number:06d}"))


def look(parent: JobRequest, send: Send) -> bool:
    """Check the group of a waiting job as the timer does. Return whether the job continues."""
    markers.sweep(parent)
    return check_group(parent, send)


def finish(parent: JobRequest, send: Send) -> bool:
    """Continue a job if no member of its group is left. Return whether it continues."""
    change = markers.finish(parent.id)
    if change is not None:
        settle(change, send)
    return change is not None


def items(kind: str) -> list[str]:
    """Return the sort keys of the groups' items of a kind."""
    return [
        row["sk"]
        for row in moto_direct.rows("coordination")
        if row["pk"].startswith("group#") and row["sk"].startswith(kind)
    ]
