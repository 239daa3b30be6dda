"""The methods of Client that dispatch batches, read them and wait for them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from job_runners.client.base_client import PAGE_SIZE, BaseClient, path_segment
from job_runners.client.batch_models import Batch, BatchMember, BatchUnfinished, Group
from job_runners.client.errors import ApiError, NoAnswer
from job_runners.client.repeating import new_key


class BatchClient(BaseClient):
    """The methods of Client for batches and groups. Programs use Client."""

    def dispatch_batch(
        self,
        members: Iterable[Mapping[str, Any]] | None = None,
        *,
        members_file: str | None = None,
        then: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        stop_after_failures: int | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Dispatch many jobs, and another one when all have ended. Return the batch.

        A member is a mapping with `job_type` and `payload`, and may have `key` and `queue_name`.
        For more than 1,000 members, write each as a line of JSON into a file, upload the file, and
        pass the key that `upload` returns as `members_file`. `then` has `job_type` and `payload`.
        Its payload also gets the field `batch`, which has the counts of members by outcome.

        The same call with the same `idempotency_key` returns the same batch. Without a key, the
        client creates one, so that it can repeat the call itself. If a member is invalid, nothing
        is dispatched, and InvalidRequest names each invalid member in its `fields`.
        """
        key = idempotency_key or new_key()
        fields = {
            "members": None if members is None else [dict(member) for member in members],
            "members_file": members_file,
            "then": None if then is None else dict(then),
            "organization_id": organization_id or self._organization,
            "stop_after_failures": stop_after_failures,
            "idempotency_key": key,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        try:
            batch = self._parse(Batch, self._api.call("POST", "/batches", body))
        except (ApiError, NoAnswer) as error:
            error.idempotency_key = key
            raise
        # With a new key, only an earlier attempt of this call can have dispatched the batch. For
        # the caller, that isn't a replay.
        return batch if idempotency_key else batch.__replace__(replayed=False)

    def batch(self, batch_id: str) -> Batch:
        """Return a batch, with the counts of its members. Raises NotFound."""
        return self._parse(Batch, self._api.call("GET", _path(batch_id)))

    def batch_members(
        self, batch_id: str, *, status: str | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[BatchMember]:
        """Yield the dispatched members of a batch, in the order in which they were listed.

        `status` is `open`, `succeeded`, `failed`, `canceled` or `existing`. An existing member is
        unique, and another job already does its work.
        """
        parameters = {"limit": page_size, "status": status}
        return self._list(f"{_path(batch_id)}/members", "members", parameters, BatchMember.of)

    def groups(self, job_id: str) -> tuple[Group, ...]:
        """Return the groups of a job, with the counts of their members."""
        body = self._call("GET", f"/jobs/{path_segment(job_id)}/groups")
        return tuple(Group.of(group) for group in body["groups"])

    def wait_batch(
        self,
        batch: Batch | str,
        timeout: float | None = None,
        *,
        on_progress: Callable[[Batch], object] | None = None,
    ) -> Batch:
        """Wait until a batch has ended, and return it.

        The client polls as often as the API suggests, and calls `on_progress` after each poll.
        After `timeout` seconds, this raises BatchUnfinished, and the batch continues. If the API
        doesn't respond, the client retries for five minutes.
        """
        batch_id = batch if isinstance(batch, str) else batch.id
        for state in self._poll(lambda: self.batch(batch_id), timeout, BatchUnfinished):
            if on_progress is not None:
                on_progress(state)
        return state


def _path(batch_id: str) -> str:
    return f"/batches/{path_segment(batch_id)}"
