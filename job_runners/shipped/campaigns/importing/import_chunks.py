"""Keep a job's findings about a file (seen phone numbers, rejected rows) in the bucket, for later
invocations."""

from collections.abc import Iterator

from job_runners.aws import bucket

# Bytes. Segments up to this size may be merged, so that a cursor lists few of them.
_LARGE = 4 * 1024 * 1024


class Segments:
    """Findings about successive ranges of a file, as objects that are named by their ranges.

    The findings in a range depend only on the file. If an invocation was wrongly taken for dead,
    its successor may split the file differently. But the two never write different bytes under one
    name.
    This class deletes nothing, so an older cursor still finds the objects that it lists.
    """

    def __init__(self, prefix: str, saved: list[list[int]]) -> None:
        self._prefix = prefix
        self._saved = [list(each) for each in saved]

    def add(self, start: int, end: int, data: bytes) -> None:
        """Save the findings between the bytes `start` and `end`, after all those added before."""
        if not data:
            return
        # Merging only with segments that aren't much larger rewrites each byte only a few times.
        while self._saved and self._saved[-1][2] <= min(2 * len(data), _LARGE):
            earlier = self._saved.pop()
            data = self._read(earlier) + data
            start = earlier[0]
        bucket.put_bytes(self._key(start, end), data)
        self._saved.append([start, end, len(data)])

    def read(self) -> Iterator[bytes]:
        """Yield everything that was saved, in order, one segment at a time."""
        yield from map(self._read, self._saved)

    @property
    def cursor(self) -> list[list[int]]:
        """The start, end and length of each segment, which another invocation passes as `saved`."""
        return [list(each) for each in self._saved]

    def _read(self, segment: list[int]) -> bytes:
        return bucket.get_bytes(self._key(segment[0], segment[1]))

    def _key(self, start: int, end: int) -> str:
        return f"{self._prefix}/{start}-{end}"
