"""One organisation: what a stack has of it, and how that is removed.

Of each job its files and its steps go first, with the contacts of its campaign and the records of
its line, and its row last: the row is what leads to them, so a run that was cut off, or that ended
early, is gone on with by the next.
"""

import re
import time
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
NAMED = 10  # jobs that are not finished: as many as a person reads
_THREADS = 10  # botocore's own number of connections
_PAGE = 100  # what one call reads
_PASSES = 5  # until the index, which lags behind the rows, shows none
_LAG = 1.0  # seconds
_KINDS = (
    *("schedules", "jobs", "steps", "file versions", "unfinished uploads", "contacts"),
    "queue records",
)
_OF_A_ROW = (
    *("id", "created_key", "organization_id", "status", "job_type"),
    *("campaign_id", "queue_name", "queue_key", "restarts"),
)


@dataclass
class Found:
    """What there is of an organisation: how many jobs, those of them that are not finished (NAMED
    at most, and one more if there are others), and its campaigns."""

    jobs: int = 0
    unfinished: list[str] = field(default_factory=list)
    campaigns: set[str] = field(default_factory=set)


class Organization:
    """All that a stack has of one organisation."""

    def __init__(self, name: str, stack: Stack, dynamodb: Any, s3: Any) -> None:
        self.name = name
        self.found = Found()
        self._stack = stack
        self._dynamodb = dynamodb
        self._s3 = s3
        self._removed = Counter(dict.fromkeys(_KINDS, 0))
        # As work/queues.py has them: plain, or hashed if it is long, or looks like what is not its
        # own: the line of all, or the hash of another's name.
        hashed = "h-" + sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]
        is_plain = re.fullmatch(r"\*|h-[0-9a-f]{32}", name) is None
        self._own_keys = (name, hashed) if is_plain else (hashed,)

    def look(self) -> Found:
        """Read every job, and the list of its campaigns."""
        found = self.found = Found()
        for rows in self._pages():
            found.jobs += len(rows)
            for row in rows:
                self._note(row)
        listed = self._coordination(f"campaigns#{self.name}")
        found.campaigns |= {item["sk"]["S"] for item in listed}
        return found

    def erase(self, progress: Callable[[int], None]) -> Counter[str]:
        """Remove what was found, and what has come since; return how much of what that was.

        It ends early, with `found.unfinished`, if a job was dispatched or retried meanwhile.
        """
        self._erase_schedules()  # first, or they go on dispatching jobs
        self._erase_jobs(progress)
        if self.found.unfinished:
            return self._removed
        for folder in (f"uploads/{self.name}/", f"results/{self.name}/"):
            self._removed["file versions"] += self._delete_files(folder)
            bucket = self._stack.bucket_name
            self._removed["unfinished uploads"] += objects.abort_uploads(self._s3, bucket, folder)
        for campaign in sorted(self.found.campaigns):
            self._erase_contacts(campaign)
        self._removed["queue records"] += self._delete_partition(f"keys_of#{self.name}")
        self._erase_schedules()  # one that a tick was about to write when they were erased
        return self._removed

    # --- jobs -----------------------------------------------------------------------------------

    def _erase_jobs(self, progress: Callable[[int], None]) -> None:
        """Go through all jobs again, until there are none: the index shows some a moment late."""
        for _ in range(_PASSES):
            met = 0
            with ThreadPoolExecutor(_THREADS) as pool:
                for rows in self._pages():
                    met += len(rows)
                    for row in rows:
                        self._note(row)
                    if self.found.unfinished:
                        return
                    self._erase_contacts_and_lines(rows, pool)
                    for steps, files, gone in pool.map(self._erase_job, rows):
                        self._removed["steps"] += steps
                        self._removed["file versions"] += files
                        self._removed["jobs"] += gone
                    progress(self._removed["jobs"])
            if not met:
                return
            time.sleep(_LAG)

    def _erase_contacts_and_lines(self, rows: list[Item], pool: ThreadPoolExecutor) -> None:
        """Remove the contacts of rows' campaigns and the records of their lines: once the rows are
        gone, nothing leads to those."""
        for campaign in sorted({row["campaign_id"]["S"] for row in rows if "campaign_id" in row}):
            self._erase_contacts(campaign)
        lines = set[tuple[str, str]]()
        for row in rows:
            if "queue_key" in row:
                queue_name = row["queue_name"]["S"]
                own = [(queue_name, key) for key in self._own_keys]
                lines |= {(queue_name, row["queue_key"]["S"]), *own}
        self._removed["queue records"] += sum(pool.map(self._erase_line, sorted(lines)))

    def _erase_job(self, row: Item) -> tuple[int, int, int]:
        """Return how many steps, files and rows were removed."""
        created_key, job_id = row["created_key"]["S"], row["id"]["S"]
        restarts = int(row.get("restarts", {"N": "0"})["N"])
        beginnings = [created_key, *(f"{created_key}/{each}" for each in range(1, restarts + 1))]
        steps = sum(self._delete_partition(f"step#{each}") for each in beginnings)
        # The last is where jobs that were saved by version 0.1.0 have theirs.
        folders = (f"payloads/{created_key}/", f"partial/{created_key}/", f"partial/{job_id}/")
        files = sum(map(self._delete_files, folders))
        return steps, files, self._delete_row(job_id)

    def _delete_row(self, job_id: str) -> int:
        """Delete a row, unless its job was retried meanwhile: the next pass finds that one."""
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
        """Yield its rows, as they are now, some at a time."""
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
            rows = items.read_all(self._dynamodb, self._stack.table_name, ids, _OF_A_ROW)
            # Another organisation's may have come to the id of one that has expired.
            yield [row for row in rows if row["organization_id"]["S"] == self.name]

    def _note(self, row: Item) -> None:
        """Note what a row leads to."""
        if row["status"]["S"] not in FINISHED and len(self.found.unfinished) <= NAMED:
            words = (row["id"]["S"], row["job_type"]["S"], row["status"]["S"])
            self.found.unfinished.append(" ".join(words))
        if "campaign_id" in row:
            self.found.campaigns.add(row["campaign_id"]["S"])

    def _erase_schedules(self) -> None:
        """Remove its schedules, and what those leave that were deleted."""
        self._removed["schedules"] += self._delete_partition(f"schedules#{self.name}")

    # --- the rest -------------------------------------------------------------------------------

    def _erase_contacts(self, campaign: str) -> None:
        table = self._stack.contacts_table_name
        if table:
            names = ("organization_campaign", "cell")
            whose = f"{self.name}#{campaign}"
            keys = items.partition(self._dynamodb, table, names[0], whose, names)
            self._removed["contacts"] += items.delete_all(self._dynamodb, table, keys)
        listed = {"pk": {"S": f"campaigns#{self.name}"}, "sk": {"S": campaign}}
        items.delete_all(self._dynamodb, self._stack.coordination_table_name, [listed])

    def _erase_line(self, line: tuple[str, str]) -> int:
        """Remove its name from the line of a queue and key; and the whole line, if that is its own.
        Return how many records that were."""
        queue_name, key = line
        place = f"line#{queue_name}#{key}"
        found = list(self._coordination(place, "organization_id", "group", "holder"))
        in_use = any("holder" in each or each["sk"]["S"].startswith("wait#") for each in found)
        its_own = key in self._own_keys and not in_use
        changed = 0
        for item in found:
            whose = (item.get("organization_id"), item.get("group"))
            if its_own:
                changed += self._change_free(item, delete=True)
            elif {"S": self.name} in whose:
                changed += self._change_free(item, delete=False)
        if its_own:
            used = {"pk": {"S": f"keys#{queue_name}"}, "sk": {"S": key}}
            items.delete_all(self._dynamodb, self._stack.coordination_table_name, [used])
        return changed

    def _change_free(self, item: Item, *, delete: bool) -> int:
        """Delete a slot or a rate that nobody has, or the name of who had it last; return whether
        that was done: not if it was taken meanwhile."""
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
        """Yield the items of a partition of the coordination table, as they are now."""
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
