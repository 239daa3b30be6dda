"""Data that grows with the file that a job reads or writes, kept for its later invocations."""

import uuid
from collections.abc import Iterator

from job_runners.work import RunningJob

# Bytes. Pieces up to this size may be merged, so that a cursor lists few of them.
_LARGE = 4 * 1024 * 1024


class Pieces:
    """Pieces of data in work files, which the job's cursor lists.

    Each file has a name of its own: if an invocation was wrongly taken for dead, it can't replace a
    piece of its successor. This class deletes nothing, so an older cursor still finds its pieces.
    """

    def __init__(self, job: RunningJob, cursor: list[list[str | int]]) -> None:
        self._job = job
        self._saved = [(str(key), int(size)) for key, size in cursor]

    def add(self, data: bytes) -> None:
        """Save a piece after all those added before."""
        if not data:
            return
        # Merging only with pieces that aren't much larger rewrites each byte only a few times.
        while self._saved and self._saved[-1][1] <= min(2 * len(data), _LARGE):
            data = self._job.read_file(self._saved.pop()[0]) + data
        key = self._job.work_file(f"pieces/{uuid.uuid4().hex[:12]}")
        self._job.write_file(key, data)
        self._saved.append((key, len(data)))

    def read(self) -> Iterator[bytes]:
        """Yield everything that was saved, in order. Check before each piece whether the job was
        canceled."""
        for key, _ in self._saved:
            self._job.checkpoint()
            yield self._job.read_file(key)

    @property
    def cursor(self) -> list[list[str | int]]:
        """The key and size of each piece, which another invocation passes as `cursor`."""
        return [[key, size] for key, size in self._saved]
