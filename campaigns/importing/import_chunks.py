"""What a job finds in a file as it goes along, kept in the bucket for a later invocation."""

from collections.abc import Iterator

from aws import bucket

# Small segments are merged so that a cursor lists few of them; beyond this they are left alone.
_LARGE = 4 * 1024 * 1024


class Segments:
    """Bytes found in successive stretches of a file, as objects named by the stretch they cover.

    What a stretch holds depends on the file alone. So an invocation that was given up for dead and
    the one that took its place may cut the file differently, but never write different bytes under
    one name. Nothing is deleted here: an older cursor still finds the objects that it lists.
    """

    def __init__(self, prefix: str, saved: list[list[int]]) -> None:
        self._prefix = prefix
        self._saved = [list(each) for each in saved]

    def add(self, start: int, end: int, data: bytes) -> None:
        """Keep what was found from byte `start` up to `end`, which is after all added before."""
        if not data:
            return
        # Merging only with what is not much larger rewrites each byte a few times in all.
        while self._saved and self._saved[-1][2] <= min(2 * len(data), _LARGE):
            earlier = self._saved.pop()
            data = self._read(earlier) + data
            start = earlier[0]
        bucket.put_bytes(self._key(start, end), data)
        self._saved.append([start, end, len(data)])

    def read(self) -> Iterator[bytes]:
        """All that was kept, in order, one segment at a time."""
        yield from map(self._read, self._saved)

    @property
    def cursor(self) -> list[list[int]]:
        """The start, end and length of each segment: what `saved` is to another invocation."""
        return [list(each) for each in self._saved]

    def _read(self, segment: list[int]) -> bytes:
        return bucket.get_bytes(self._key(segment[0], segment[1]))

    def _key(self, start: int, end: int) -> str:
        return f"{self._prefix}/{start}-{end}"
