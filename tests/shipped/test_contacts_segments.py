"""Segments: what is found in a file, kept in few objects whose names say all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_runners.aws import bucket
from job_runners.shipped.campaigns.importing import import_chunks
from job_runners.shipped.campaigns.importing.import_chunks import Segments


@settings(max_examples=200)
@given(found=st.lists(st.integers(0, 20), min_size=1, max_size=30), data=st.data())
def test_a_segments_name_says_what_is_in_it_however_the_file_was_cut(
    found: list[int], data: st.DataObject
) -> None:
    """`found` is how many bytes there are to find at each offset of the file."""

    def stretch(start: int, end: int) -> bytes:
        return b"".join(bytes([at]) * found[at] for at in range(start, end))

    def put(key: str, content: bytes) -> None:
        start, _, end = key.removeprefix("partial/job/x/").partition("-")
        assert content == stretch(int(start), int(end))
        objects[key] = content

    objects: dict[str, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket, "put_bytes", put)
        patch.setattr(bucket, "get_bytes", objects.__getitem__)
        kept = Segments("partial/job/x", [])
        at = 0
        while at < len(found):
            end = data.draw(st.integers(at + 1, len(found)))
            kept.add(at, end, stretch(at, end))
            kept = Segments("partial/job/x", kept.cursor)
            at = end
            assert b"".join(kept.read()) == stretch(0, at)


@pytest.mark.usefixtures("aws")
def test_segments_that_are_large_are_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_chunks, "_LARGE", 100)
    written: list[int] = []
    put = bucket.put_bytes

    def recorded(key: str, data: bytes) -> None:
        written.append(len(data))
        put(key, data)

    monkeypatch.setattr(bucket, "put_bytes", recorded)
    kept = Segments("partial/job/x", [])
    for start in range(0, 1000, 10):
        kept.add(start, start + 10, b"%9d\n" % start)
    assert b"".join(kept.read()) == b"".join(b"%9d\n" % start for start in range(0, 1000, 10))
    assert max(written) < 400
    assert len(kept.cursor) <= 12
