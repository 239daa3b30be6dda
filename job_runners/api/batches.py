"""POST /batches: check a batch, and save it.

A batch is a job that dispatches many other jobs, its members, and waits for them. The request lists
the members, or names an uploaded file with a member in each line. All members are checked before
anything is saved.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from job_runners import clock, runners
from job_runners.api import body, requests, strict_json
from job_runners.api.access import Caller, Event
from job_runners.api.bulk import invalid_fields, problems_of_item
from job_runners.api.errors import InvalidField, InvalidFields, InvalidMembers
from job_runners.aws import bucket
from job_runners.engine.dispatch import quota
from job_runners.engine.dispatch.checking import check_type_and_payload
from job_runners.engine.dispatch.dispatch import dispatch_checked, refuse_if_too_many
from job_runners.engine.job_data import JobData, Name
from job_runners.engine.wire.sending import Accepted, Send
from job_runners.errors import IdempotencyConflict, InvalidPayload, MissingObject, UnknownJobType
from job_runners.shipped.jobs.batch import MAX_LINE_BYTES, numbered_lines
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import queries
from job_runners.store.blobs import canonical_json
from job_runners.store.job_request import id_for_idempotency_key
from job_runners.work.batch_ended import SAMPLE_PAYLOAD
from job_runners.work.errors import DuplicateMember, NameNotText, NameTooLong, TooManyMembers
from job_runners.work.files import StoredFile, is_in
from job_runners.work.member_keys import MAX_MEMBERS, MemberKeys

MAX_INLINE_MEMBERS = 1_000  # members that the request itself lists
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_CHECK_SECONDS = 20  # to check a file, because the Lambda function times out after 29 s
_MEMBER_FIELDS = {"job_type", "payload", "key", "queue_name"}
_MEMBER_ERRORS = (
    InvalidFields,
    UnknownJobType,
    InvalidPayload,
    DuplicateMember,
    NameNotText,
    NameTooLong,
)

_FailureCount = Annotated[
    int, Field(ge=1, le=MAX_MEMBERS), BeforeValidator(requests.require_whole_number)
]


class ThenData(requests.RequestBody):
    """The job to dispatch when all members have ended. Its payload also gets the field `batch`."""

    job_type: str = Field(min_length=1, max_length=128)
    payload: dict[str, Any] = Field(default_factory=dict)


class BatchData(requests.RequestBody):
    """Jobs to dispatch and wait for. Give `members` or `members_file`."""

    members: list[Any] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_INLINE_MEMBERS,
        description="The members, in order",
    )
    members_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="The key of a file under uploads/<organization_id>/, with a member in each "
        f"line. It may have up to {MAX_MEMBERS:,} lines",
    )
    then: ThenData | None = None
    organization_id: Name = Field(default="default", description="The organization of the batch")
    stop_after_failures: _FailureCount | None = Field(
        default=None,
        description="Cancel the members that have not started after this number of failures",
    )
    idempotency_key: requests.KeyInBody = None


class MemberData(requests.RequestBody):
    """A member of a batch."""

    job_type: str = Field(min_length=1, max_length=128)
    payload: dict[str, Any] = Field(default_factory=dict)
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Names the member within the batch: up to 128 bytes. By default, its number",
    )
    queue_name: Name | None = Field(default=None, description="By default, that of the job type")


_MEMBER_DEFAULTS = {
    name: field.get_default(call_default_factory=True)
    for name, field in MemberData.model_fields.items()
}


class _MemberInput(NamedTuple):
    """A member as the caller sent it."""

    position: int  # in the batch, from 0
    fields: Any = None
    line_number: int | None = None  # in the file, from 1; None if the request itself has the member
    problem: str | None = None  # the reason why the line can't be read


def dispatch(event: Event, caller: Caller) -> Accepted:
    """Save a batch and send it to a worker, or return the batch of an identical earlier request.

    Raises InvalidMembers, which lists the problems of all members. If the request is refused,
    nothing is saved.
    """
    data, key = _read(event, caller)
    request_hash = _hash(data)
    earlier = queries.read(id_for_idempotency_key(data.organization_id, key))
    if earlier is not None:  # don't check its members again, because their file may be gone
        if earlier.request_hash != request_hash:
            raise IdempotencyConflict(key, earlier.id)
        return Accepted(earlier)
    send = runners.sender()
    payload = _BatchChecker(data, caller, send).check()
    job = JobData(
        job_type=Jobs.BATCH,
        payload=payload,
        organization_id=data.organization_id,
        idempotency_key=key,
    )
    checked = requests.check_internal_job(job, send)
    # Replace the job's own hash. It differs between identical requests if the file was uploaded
    # again, because it covers the file's etag.
    new_job = checked.new_job._replace(request_hash=request_hash, batch_total=payload["total"])
    batch = checked._replace(new_job=new_job)
    quota.refuse_batch_if_reached(data.organization_id, payload["total"])
    refuse_if_too_many([batch])
    return dispatch_checked(batch)


def _read(event: Event, caller: Caller) -> tuple[BatchData, str]:
    """Return the validated fields of the request, and its idempotency key."""
    fields = requests.add_key(event, body.read_object(event))
    organization_id = caller.organization_for(fields.get("organization_id"))
    if organization_id is not None:
        fields["organization_id"] = organization_id
    members = fields.get("members")
    if isinstance(members, list) and len(members) > MAX_INLINE_MEMBERS:
        raise InvalidField(
            "members",
            f"has {len(members):,} members. A request may have {MAX_INLINE_MEMBERS:,}. Upload a "
            "file with a member in each line, and give its key as members_file",
        )
    data = requests.validate(BatchData, fields)
    has_list = data.members is not None
    has_file = data.members_file is not None
    if has_list == has_file:
        raise InvalidField("members", "give either members or members_file")
    return data, requests.require_key(data.idempotency_key)


def _hash(data: BatchData) -> str:
    """Return a hash that is the same for identical requests.

    A field with its default value doesn't change the hash. The hash covers the name of the members'
    file, but not the file's content.
    """
    fields = data.model_dump(
        mode="json", exclude={"idempotency_key", "members"}, exclude_defaults=True
    )
    members = None
    if data.members is not None:
        members = [_without_defaults(member) for member in data.members]
    return sha256(canonical_json([fields, members]).encode()).hexdigest()


def _without_defaults(member: Any) -> Any:
    """Return a member without the fields that have their default values."""
    if not isinstance(member, dict):
        return member
    return {
        name: value
        for name, value in member.items()
        if name not in _MEMBER_DEFAULTS or value != _MEMBER_DEFAULTS[name]
    }


class _BatchChecker:
    """Checks the members of a batch, and the job to dispatch when they have ended."""

    def __init__(self, data: BatchData, caller: Caller, send: Send) -> None:
        self._data = data
        self._caller = caller
        self._send = send
        self._deadline = clock.now() + MAX_CHECK_SECONDS * clock.SECOND

    def check(self) -> dict[str, Any]:
        """Return the payload of the batch's job. Raises InvalidFields and InvalidMembers."""
        data = self._data
        payload: dict[str, Any] = {}
        if data.then is not None:
            self._check_then(data.then)
            payload["then"] = data.then.model_dump()
        if data.stop_after_failures is not None:
            payload["stop_after_failures"] = data.stop_after_failures
        if data.members_file is not None:
            with self._open_file(data.members_file) as file:
                total = self._check_members(_members_in(file, self._check_deadline))
            return payload | {"total": total, "members_file": data.members_file, "etag": file.etag}
        members = data.members or []
        inputs = (_MemberInput(position, fields) for position, fields in enumerate(members))
        total = self._check_members(inputs)
        return payload | {"total": total, "members": members}

    def _check_then(self, then: ThenData) -> None:
        # When the batch ends, it adds its counts to this payload. So check the payload with sample
        # counts.
        payload = {**then.payload, "batch": SAMPLE_PAYLOAD}
        try:
            self._check_job({"job_type": then.job_type, "payload": payload})
        except (InvalidFields, UnknownJobType, InvalidPayload) as error:
            problems = [
                {**problem, "field": f"then.{problem['field']}"}
                for problem in invalid_fields(error)
            ]
            raise InvalidFields(problems) from None

    def _open_file(self, key: str) -> StoredFile:
        folder = f"uploads/{self._data.organization_id}"
        if not is_in(folder, key):
            raise InvalidField("members_file", f"must be the key of a file under {folder}/")
        if not bucket.is_configured():
            raise InvalidField("members_file", "can't be read, because this stack has no bucket")
        try:
            file = StoredFile.at(key)
        except MissingObject:
            raise InvalidField("members_file", "doesn't exist") from None
        if file.size > MAX_FILE_BYTES:
            raise InvalidField(
                "members_file",
                f"has {file.size:,} bytes. The limit is {MAX_FILE_BYTES:,}. Split the file",
            )
        return file

    def _check_deadline(self, line_number: int) -> None:
        """Raise InvalidField if the time to check the file has run out at this line."""
        if clock.now() > self._deadline:
            raise InvalidField(
                "members_file",
                f"could not be checked within {MAX_CHECK_SECONDS} seconds: line {line_number:,} "
                "was reached. Split the file",
            )

    def _check_members(self, members: Iterable[_MemberInput]) -> int:
        """Check all members, and return their count. Raises InvalidMembers with all problems."""
        keys = MemberKeys()
        total = 0
        problems: list[dict[str, Any]] = []
        invalid_count = 0
        for member in members:
            total += 1
            try:
                self._check_member(member, keys)
            except TooManyMembers as error:
                raise InvalidField("members_file", str(error)) from None
            except _MEMBER_ERRORS as error:
                invalid_count += 1
                if len(problems) < InvalidMembers.max_problems:
                    problems += _problems_of_member(member, error)
        if problems:
            raise InvalidMembers(problems, invalid_count)
        if total == 0:
            raise InvalidField("members_file", "has no members")
        return total

    def _check_member(self, member: _MemberInput, keys: MemberKeys) -> None:
        if member.problem is not None:
            raise InvalidField("", member.problem)
        fields = member.fields
        if not isinstance(fields, dict):
            raise InvalidField("", "must be an object")
        unknown = sorted(fields.keys() - _MEMBER_FIELDS)
        if unknown:
            raise InvalidFields([{"field": name, "why": "is unknown"} for name in unknown])
        key = fields.get("key")
        if key is not None and not isinstance(key, str):
            raise InvalidField("key", "must be text")
        keys.check_next(key)  # raises an error for a duplicate or invalid key
        self._check_job({name: value for name, value in fields.items() if name != "key"})

    def _check_job(self, fields: dict[str, Any]) -> None:
        organization_id = self._data.organization_id
        job = requests.job_from_fields({**fields, "organization_id": organization_id}, self._caller)
        check_type_and_payload(job, self._send)


def _members_in(file: StoredFile, check_deadline: Callable[[int], None]) -> Iterator[_MemberInput]:
    """Yield the members in a file, which has one in each line. If a line can't be read, its member
    has a `problem` instead of fields."""
    for position, (line_number, line) in enumerate(numbered_lines(file, check_deadline)):
        fields = problem = None
        if len(line) > MAX_LINE_BYTES:
            problem = f"has more than {MAX_LINE_BYTES:,} bytes"
        else:
            try:
                fields = strict_json.parse(line.decode("utf-8-sig"), source="The line")
            except UnicodeDecodeError as error:
                problem = f"isn't UTF-8: byte {error.start} is invalid"
            except strict_json.NotStrict as error:
                problem = str(error).rstrip(".")
        yield _MemberInput(position, fields, line_number, problem)


def _problems_of_member(member: _MemberInput, error: Exception) -> list[dict[str, Any]]:
    """Return the problems of a member. Each has the member's index in the request, or its line
    number in the file."""
    problems: Sequence[Mapping[str, str]]
    if isinstance(error, DuplicateMember | NameNotText | NameTooLong):
        problems = [{"field": "key", "why": str(error).rstrip(".")}]
    else:
        problems = invalid_fields(error)
    if member.line_number is not None:
        return [{"line": member.line_number, **problem} for problem in problems]
    return problems_of_item(problems, member.position, f"members.{member.position}")
