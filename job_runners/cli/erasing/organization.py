"""Find and erase all data of one organization in a stack.

A job's row is deleted last: after its files, its steps, its signals, its groups and the records of
its line (its queue and key). All of these are found through the row, so a run can continue an
earlier one that was interrupted.
"""

import json
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from job_runners.cli.erasing import items, objects
from job_runners.cli.erasing.items import Item
from job_runners.cli.stack import Stack

FINISHED = ("succeeded", "failed", "cancelled")
MAX_LISTED = 10  # unfinished jobs that a message lists
_THREADS = 10  # botocore's default number of connections
_PAGE = 100  # rows that one call reads
_MAX_PASSES = 5  # the most passes over the index, which lags behind the rows
_LAG = 1.0  # seconds between two passes
_KINDS = (
    *("schedules", "jobs", "steps", "signals", "file versions", "unfinished uploads"),
    *("queue records", "group records", "failures", "webhooks"),
)
_ROW_ATTRIBUTES = (
    *("id", "created_key", "organization_id", "status", "job_type"),
    *("queue_name", "queue_key", "restarts", "has_waited"),
)
_GATHER = "gather "  # the prefix of the names of the steps that name groups
_LINK = "link "  # the prefix of the names of the steps that have the URLs of answers


@dataclass
class Found:
    """The data found for an organization: a job count, and the unfinished jobs.

    `unfinished` has up to MAX_LISTED jobs, or one more than MAX_LISTED if there are more.
    """

    jobs: int = 0
    unfinished: list[str] = field(default_factory=list)


class Organization:
    """One organization's data in a stack."""

    def __init__(self, name: str, stack: Stack, dynamodb: Any, s3: Any) -> None:
        self.name = name
        self.found = Found()
        self._stack = stack
        self._dynamodb = dynamodb
        self._s3 = s3
        self._removed = Counter(dict.fromkeys(_KINDS, 0))
        # The queue keys that job_runners/work/queues.py may have made from the organization's name:
        # the name, or a hash of it, for example if it is long. A name that is "*" or looks like a
        # hash is always hashed, and as a key, it may be that of other jobs.
        hashed = "h-" + sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]
        is_plain = re.fullmatch(r"\*|h-[0-9a-f]{32}", name) is None
        self._own_keys = (name, hashed) if is_plain else (hashed,)

    def look(self) -> Found:
        """Read all jobs, and return the data found."""
        found = self.found = Found()
        for rows in self._pages():
            found.jobs += len(rows)
            for row in rows:
                self._note(row)
        return found

    def erase(self, progress: Callable[[int], None]) -> Counter[str]:
        """Erase all data, including data that was added since `look`. Return counts by kind.

        If an unfinished job is found, stop early and set `found.unfinished`.
        """
        self._erase_schedules()  # first, so that they dispatch no more jobs
        self._erase_jobs(progress)
        if self.found.unfinished:
            return self._removed
        for folder in (f"uploads/{self.name}/", f"results/{self.name}/"):
            self._removed["file versions"] += self._delete_files(folder)
            bucket = self._stack.bucket_name
            self._removed["unfinished uploads"] += objects.abort_uploads(self._s3, bucket, folder)
        self._removed["queue records"] += self._delete_partition(f"keys_of#{self.name}")
        self._removed["failures"] += self._delete_partition(f"failures#{self.name}")
        self._removed["webhooks"] += self._delete_partition(f"webhooks#{self.name}")
        self._erase_schedules()  # again, because a timer run may have written one in between
        return self._removed

    # --- jobs -----------------------------------------------------------------------------------

    def _erase_jobs(self, progress: Callable[[int], None]) -> None:
        """Erase all jobs. Repeat until none are left, because the index lags behind."""
        for _ in range(_MAX_PASSES):
            row_count = 0
            with ThreadPoolExecutor(_THREADS) as pool:
                for rows in self._pages():
                    row_count += len(rows)
                    for row in rows:
                        self._note(row)
                    if self.found.unfinished:
                        return
                    self._erase_lines(rows, pool)
                    for removed in pool.map(self._erase_job, rows):
                        self._removed.update(removed)
                    progress(self._removed["jobs"])
            if not row_count:
                return
            time.sleep(_LAG)

    def _erase_lines(self, rows: list[Item], pool: ThreadPoolExecutor) -> None:
        """Erase the records of the rows' lines.

        This must be done before the rows are deleted, because these records are found only through
        the rows.
        """
        lines = set[tuple[str, str]]()
        for row in rows:
            if "queue_key" in row:
                queue_name = row["queue_name"]["S"]
                own = [(queue_name, key) for key in self._own_keys]
                lines |= {(queue_name, row["queue_key"]["S"]), *own}
        self._removed["queue records"] += sum(pool.map(self._erase_line, sorted(lines)))

    def _erase_job(self, row: Item) -> dict[str, int]:
        """Erase a job. Return how many records of each kind were deleted."""
        created_key, job_id = row["created_key"]["S"], row["id"]["S"]
        restarts = int(row.get("restarts", {"N": "0"})["N"])
        work_ids = [created_key, *(f"{created_key}/{each}" for each in range(1, restarts + 1))]
        named = [*self._named_by_steps(work_ids)] if "has_waited" in row else []
        removed = Counter[str]()
        for kind, partition in named:
            removed[kind] += self._delete_partition(partition)
        removed["steps"] = sum(self._delete_partition(f"step#{each}") for each in work_ids)
        if "has_waited" in row:
            removed["signals"] += sum(self._delete_partition(f"signal#{each}") for each in work_ids)
        folders = (f"payloads/{created_key}/", f"partial/{created_key}/")
        removed["file versions"] = sum(map(self._delete_files, folders))
        removed["jobs"] = self._delete_row(job_id)
        return removed

    def _named_by_steps(self, work_ids: list[str]) -> Iterator[tuple[str, str]]:
        """Yield the partitions that steps of a job name: of its groups, and of its links for
        answers. Each comes with its kind."""
        for each in work_ids:
            for step in self._coordination(f"step#{each}", "value"):
                if step["sk"]["S"].startswith(_LINK):
                    url = json.loads(zlib.decompress(step["value"]["B"]))
                    yield "signals", f"link#{url.rpartition('/')[2]}"
                elif step["sk"]["S"].startswith(_GATHER):
                    group = json.loads(zlib.decompress(step["value"]["B"]))
                    yield "group records", f"group#{group['id']}"
                    for number in range(group["shards"]):
                        yield "group records", f"group#{group['id']}#{number}"

    def _delete_row(self, job_id: str) -> int:
        """Delete a row, unless its job was retried in the meantime.

        In that case, the next pass finds the job.

        Return the number of rows deleted.
        """
        finished = {f":{number}": {"S": status} for number, status in enumerate(FINISHED)}
        condition = f"organization_id = :mine AND #status IN ({', '.join(finished)})"
        try:
            self._dynamodb.delete_item(
                TableName=self._stack.table_name,
                Key={"id": {"S": job_id}},
                ConditionExpression=condition,
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":mine": {"S": self.name}, **finished},
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            return 0
        return 1

    def _pages(self) -> Iterator[list[Item]]:
        """Yield the organization's rows in pages, read consistently."""
        keys = items.partition(
            self._dynamodb,
            self._stack.table_name,
            "organization_id",
            self.name,
            ["id"],
            IndexName="by_organization",
            PaginationConfig={"PageSize": _PAGE},
        )
        while ids := [key["id"]["S"] for key in islice(keys, _PAGE)]:
            rows = items.read_all(self._dynamodb, self._stack.table_name, ids, _ROW_ATTRIBUTES)
            # The id of an expired job may now belong to a job of another organization.
            yield [row for row in rows if row["organization_id"]["S"] == self.name]

    def _note(self, row: Item) -> None:
        """Record the job of a row if it is unfinished."""
        if row["status"]["S"] not in FINISHED and len(self.found.unfinished) <= MAX_LISTED:
            parts = (row["id"]["S"], row["job_type"]["S"], row["status"]["S"])
            self.found.unfinished.append(" ".join(parts))

    def _erase_schedules(self) -> None:
        """Erase the schedules, and the records that deleted schedules left."""
        self._removed["schedules"] += self._delete_partition(f"schedules#{self.name}")

    # --- the rest -------------------------------------------------------------------------------

    def _erase_line(self, line: tuple[str, str]) -> int:
        """Erase the organization's name from a line, or the whole line if it is the organization's
        own. Return the number of records changed.
        """
        queue_name, key = line
        pk = f"line#{queue_name}#{key}"
        found = list(self._coordination(pk, "organization_id", "group", "holder"))
        in_use = any("holder" in each or each["sk"]["S"].startswith("wait#") for each in found)
        # The key is the organization's id, or begins with it: Queue(per=("organization_id", …)).
        is_own_key = any(key == own or key.startswith(f"{own}:") for own in self._own_keys)
        is_its_own = is_own_key and not in_use
        changed = 0
        for item in found:
            names = (item.get("organization_id"), item.get("group"))
            if is_its_own:
                changed += self._clear_unless_held(item, delete=True)
            elif {"S": self.name} in names:
                changed += self._clear_unless_held(item, delete=False)
        if is_its_own:
            key_record = {"pk": {"S": f"keys#{queue_name}"}, "sk": {"S": key}}
            items.delete_all(self._dynamodb, self._stack.coordination_table_name, [key_record])
        return changed

    def _clear_unless_held(self, item: Item, *, delete: bool) -> int:
        """Delete a free slot or rate record, or only the organization's name in it.

        Return the number of records changed: 0 if a job has taken the slot in the meantime.
        """
        call: dict[str, Any] = {
            "TableName": self._stack.coordination_table_name,
            "Key": {"pk": item["pk"], "sk": item["sk"]},
            "ConditionExpression": "attribute_not_exists(holder)",
        }
        try:
            if delete:
                self._dynamodb.delete_item(**call)
            else:
                self._dynamodb.update_item(
                    **call,
                    UpdateExpression="REMOVE organization_id, #group",
                    ExpressionAttributeNames={"#group": "group"},
                )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            return 0
        return 1

    def _delete_partition(self, pk: str) -> int:
        keys = self._coordination(pk)
        return items.delete_all(self._dynamodb, self._stack.coordination_table_name, keys)

    def _coordination(self, pk: str, *names: str) -> Iterator[Item]:
        """Yield the items of a DynamoDB partition of the coordination table, read consistently."""
        return items.partition(
            self._dynamodb,
            self._stack.coordination_table_name,
            "pk",
            pk,
            ["pk", "sk", *names],
            ConsistentRead=True,
        )

    def _delete_files(self, folder: str) -> int:
        return objects.delete_versions(self._s3, self._stack.bucket_name, folder)


def _condition_failed(error: ClientError) -> bool:
    return str(error.response["Error"]["Code"]) == "ConditionalCheckFailedException"
