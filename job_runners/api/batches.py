"""POST /batches: check a batch and its members, the jobs that it waits for, and save it."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from job_runners import clock, runners
from job_runners.api import body, requests, strict_json
from job_runners.api.access import Caller, Event
from job_runners.api.bulk import invalid_fields
from job_runners.api.errors import InvalidFields, InvalidMembers
from job_runners.aws import bucket
from job_runners.engine.dispatch import quota
from job_runners.engine.dispatch.checking import check_job
from job_runners.engine.dispatch.dispatch import dispatch_checked, refuse_if_too_many
from job_runners.engine.job_data import JobData, Name
from job_runners.engine.wire.sending import Accepted, Send
from job_runners.errors import IdempotencyConflict, InvalidPayload, MissingObject, UnknownJobType
from job_runners.shipped.jobs.batch import MAX_LINE_BYTES, numbered_lines
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import queries
from job_runners.store.blobs import canonical_json
from job_runners.store.job_request import id_for_idempotency_key
from job_runners.work.batch_ended import SAMPLE
from job_runners.work.errors import DuplicateMember, NameNotText, NameTooLong, TooManyMembers
from job_runners.work.files import StoredFile, is_in
from job_runners.work.member_keys import MAX_MEMBERS, MemberKeys

MAX_INLINE = 1_000  # members in the request itself
SECONDS = 20  # for checking a file; the function times out after 29 s
MAX_FILE_BYTES = 50 * 1024 * 1024  # bytes
_MEMBER_FIELDS = {"job_type", "payload", "key", "queue_name"}
_MEMBER_ERRORS = (
    InvalidFields,
    UnknownJobType,
    InvalidPayload,
    DuplicateMember,
    NameNotText,
    NameTooLong,
)


_Failures = Annotated[
    int, Field(ge=1, le=MAX_MEMBERS), BeforeValidator(requests.checked_whole_number)
]


class ThenData(requests.RequestBody):
    """The job to dispatch when all members have ended. Its payload also gets the field `batch`."""

    job_type: str = Field(min_length=1, max_length=128)
    payload: dict[str, Any] = Field(default_factory=dict)


class BatchData(requests.RequestBody):
    """Jobs to dispatch and wait for. Give `members` or `members_file`."""

    members: list[Any] | None = Field(
        default=None, min_length=1, max_length=MAX_INLINE, description="The members, in order"
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
    stop_after_failures: _Failures | None = Field(
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


class _MemberInput(NamedTuple):
    """One member of a request."""

    number: int  # from 0
    line: int | None  # in a file, from 1; None if the member is in the request itself
    fields: Any
    problem: str | None = None  # the reason why a line can't be read


def dispatch(event: Event, caller: Caller) -> Accepted:
    """Save a batch and send it. Return it, or the batch of an identical earlier request.

    Nothing is saved if the request is refused. Raises InvalidMembers with every invalid member.
    """
    data, key = _read(event, caller)
    request_hash = _hash(data)
    earlier = queries.read(id_for_idempotency_key(data.organization_id, key))
    if earlier is not None:  # its members may be in a file that is gone by now
        if earlier.request_hash != request_hash:
            raise IdempotencyConflict(key, earlier.id)
        return Accepted(earlier)
    send = runners.sender()
    payload = _Checker(data, caller, send).checked_payload()
    job = JobData(
        job_type=Jobs.BATCH,
        payload=payload,
        organization_id=data.organization_id,
        idempotency_key=key,
    )
    checked = requests.check_internal_job(job, send)
    total = payload["total"]
    new_job = checked.new_job._replace(request_hash=request_hash, batch_total=total)
    checked = checked._replace(new_job=new_job)
    quota.refuse_batch_if_reached(data.organization_id, total)
    refuse_if_too_many([checked])
    return dispatch_checked(checked)


def _read(event: Event, caller: Caller) -> tuple[BatchData, str]:
    """Return the request's fields, and its idempotency key."""
    fields = requests.add_key(event, body.read_object(event))
    organization_id = caller.organization_for(fields.get("organization_id"))
    if organization_id is not None:
        fields["organization_id"] = organization_id
    members = fields.get("members")
    if isinstance(members, list) and len(members) > MAX_INLINE:
        why = (
            f"has {len(members):,} members. A request may have {MAX_INLINE:,}. Upload a file with "
            "a member in each line, and give its key as members_file"
        )
        raise InvalidFields([{"field": "members", "why": why}])
    data = requests.validate(BatchData, fields)
    if (data.members is None) == (data.members_file is None):
        raise InvalidFields([{"field": "members", "why": "give either members or members_file"}])
    return data, requests.required_key(data.idempotency_key)


def _hash(data: BatchData) -> str:
    """Return a hash that identifies a request. It is the same whether a request omits a default or
    has it. It doesn't cover the content of the request's file."""
    fields = data.model_dump(
        mode="json", exclude={"idempotency_key", "members"}, exclude_defaults=True
    )
    members = None
    if data.members is not None:
        members = [_without_defaults(member) for member in data.members]
    return sha256(canonical_json([fields, members]).encode()).hexdigest()


def _without_defaults(member: Any) -> Any:
    if not isinstance(member, dict):
        return member
    defaults = _DEFAULTS.items()
    return {name: value for name, value in member.items() if (name, value) not in defaults}


_DEFAULTS = {
    name: field.get_default(call_default_factory=True)
    for name, field in MemberData.model_fields.items()
}


class _Checker:
    """Checks the members of a batch, and the job to dispatch when they have ended."""

    def __init__(self, data: BatchData, caller: Caller, send: Send) -> None:
        self._data = data
        self._caller = caller
        self._send = send
        self._deadline = clock.now() + SECONDS * clock.SECOND

    def checked_payload(self) -> dict[str, Any]:
        """Return the payload of the batch's job. Raises InvalidFields and InvalidMembers."""
        data = self._data
        if data.then is not None:
            self._check_then(data.then)
        options: dict[str, Any] = {}
        if data.then is not None:
            options["then"] = data.then.model_dump()
        if data.stop_after_failures is not None:
            options["stop_after_failures"] = data.stop_after_failures
        if data.members_file is None:
            inputs = [
                _MemberInput(index, line=None, fields=fields)
                for index, fields in enumerate(data.members or ())
            ]
            return {"total": self._check_all(iter(inputs)), "members": data.members, **options}
        with self._open(data.members_file) as file:
            total = self._check_all(_read_members(file, self._check_time))
        options |= {"members_file": data.members_file, "etag": file.etag}
        return {"total": total, **options}

    def _check_then(self, then: ThenData) -> None:
        fields = {"job_type": then.job_type, "payload": {**then.payload, "batch": SAMPLE}}
        try:
            self._check_fields(fields)
        except (InvalidFields, UnknownJobType, InvalidPayload) as error:
            raise InvalidFields(
                [
                    {**problem, "field": f"then.{problem['field']}"}
                    for problem in invalid_fields(error)
                ]
            ) from None

    def _open(self, key: str) -> StoredFile:
        folder = f"uploads/{self._data.organization_id}"
        why = None
        if not is_in(folder, key):
            why = f"must be the key of a file under {folder}/"
        elif not bucket.is_configured():
            why = "can't be read, because this stack has no bucket"
        else:
            try:
                file = StoredFile.at(key)
                if file.size <= MAX_FILE_BYTES:
                    return file
                why = f"has {file.size:,} bytes. The limit is {MAX_FILE_BYTES:,}. Split the file"
            except MissingObject:
                why = "doesn't exist"
        raise InvalidFields([{"field": "members_file", "why": why}])

    def _check_all(self, members: Iterator[_MemberInput]) -> int:
        """Check all members, and return their count. Raises InvalidMembers with all problems."""
        keys = MemberKeys()
        total = 0
        problems: list[dict[str, Any]] = []
        invalid_count = 0
        for member in members:
            total += 1
            try:
                self._check(member, keys)
            except TooManyMembers as error:
                raise InvalidFields([{"field": "members_file", "why": str(error)}]) from None
            except _MEMBER_ERRORS as error:
                invalid_count += 1
                if len(problems) < InvalidMembers.max_problems:
                    problems += _problems_of_member(member, error)
        if problems:
            raise InvalidMembers(problems, invalid_count)
        if total == 0:
            raise InvalidFields([{"field": "members_file", "why": "has no members"}])
        return total

    def _check_time(self, line: int) -> None:
        """Raise InvalidFields if the time for the check is over. `line` is the one read next."""
        if clock.now() > self._deadline:
            why = (
                f"could not be checked within {SECONDS} seconds: line {line:,} was reached. "
                "Split the file"
            )
            raise InvalidFields([{"field": "members_file", "why": why}])

    def _check(self, member: _MemberInput, keys: MemberKeys) -> None:
        if member.problem is not None:
            raise InvalidFields([{"field": "", "why": member.problem}])
        fields = member.fields
        if not isinstance(fields, dict):
            raise InvalidFields([{"field": "", "why": "must be an object"}])
        unknown = sorted(fields.keys() - _MEMBER_FIELDS)
        if unknown:
            raise InvalidFields([{"field": name, "why": "is unknown"} for name in unknown])
        key = fields.get("key")
        if key is not None and not isinstance(key, str):
            raise InvalidFields([{"field": "key", "why": "must be text"}])
        keys.next(key)  # raises an error for a duplicate or invalid key
        self._check_fields({name: value for name, value in fields.items() if name != "key"})

    def _check_fields(self, fields: dict[str, Any]) -> None:
        organization_id = self._data.organization_id
        job = requests.job_from_fields({**fields, "organization_id": organization_id}, self._caller)
        check_job(job, self._send)


def _read_members(file: StoredFile, check_time: Callable[[int], None]) -> Iterator[_MemberInput]:
    for index, (number, line) in enumerate(numbered_lines(file, check_time)):
        if len(line) > MAX_LINE_BYTES:
            yield _MemberInput(index, number, None, f"has more than {MAX_LINE_BYTES:,} bytes")
            return
        try:
            yield _MemberInput(index, number, strict_json.parse(line.decode("utf-8-sig")))
        except UnicodeDecodeError as error:
            yield _MemberInput(index, number, None, f"isn't UTF-8: byte {error.start} is invalid")
        except strict_json.NotStrict as error:
            why = str(error).replace("The body", "The line").rstrip(".")
            yield _MemberInput(index, number, None, why)


def _problems_of_member(member: _MemberInput, error: Exception) -> list[dict[str, Any]]:
    """Return the problems of a member, each with the member's index, or its line in the file."""
    if isinstance(error, DuplicateMember | NameNotText | NameTooLong):
        problems: Any = [{"field": "key", "why": str(error).rstrip(".")}]
    else:
        problems = invalid_fields(error)
    if member.line is not None:
        return [{"line": member.line, **problem} for problem in problems]
    return [
        {
            "index": member.number,
            "field": f"members.{member.number}.{problem['field']}".strip("."),
            "why": problem["why"],
        }
        for problem in problems
    ]
