"""A job's files: how they are named, and which a job may read and write."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api_events import call
from bench import Bench
from job_runners.aws import bucket, multipart
from job_runners.store import blobs
from job_runners.store.job_request import Status
from job_runners.testing.files import read_file, upload
from job_runners.work import MissingObject, ObjectChanged, RunningJob
from sample_work import script

ACME = {"organization_id": "acme"}


@pytest.fixture
def run(bench: Bench) -> Callable[[Callable[[Any], Any]], Any]:
    """Return what runs a job of acme with this function; it returns the job's row."""

    def run(function: Callable[[Any], Any]) -> Any:
        script.job = lambda job, payload: function(job)
        return bench.run(bench.dispatch(**ACME))

    return run


def test_a_job_turns_an_uploaded_file_into_a_result_file(run: Any) -> None:
    key = upload("names.txt", b"ada\n", **ACME)

    def work(job: RunningJob) -> dict[str, str]:
        large = job.read_file(key).upper()
        return {"file": job.write_file(job.result_file("NAMES.txt"), large)}

    row = run(work)
    shown = call("GET", f"/jobs/{row.id}").json["result"]
    assert shown["file"] == f"{row.result_folder}/NAMES.txt"
    assert shown["url"]
    assert read_file(shown["file"]) == b"ADA\n"


@pytest.mark.parametrize("name", ["photo.jpg", "pages/1.png", "Größe 5.csv", "...", "x" * 255])
def test_a_file_has_a_name_in_the_folder_of_its_job(run: Any, name: str) -> None:
    row = run(lambda job: [job.result_file(name), job.work_file(name)])
    assert blobs.get(row.result, row.result_key) == [
        f"{row.result_folder}/{name}",
        f"{row.work_folder}/{name}",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("", "/photo.jpg", "a/", "a//b", ".", "..", "../photo.jpg", "a/../b", "a/./b"),
        *("photo\udcff.jpg", "a\nb", "a\n", "\x00", "gnp.\u202eexe", "é" * 128, "x" * 256),
    ],
    ids=ascii,
)
def test_a_name_that_no_file_may_have_is_refused(run: Any, name: str) -> None:
    for named in (RunningJob.result_file, RunningJob.work_file):
        row = run(lambda job, named=named: named(job, name))
        assert (row.status, row.error["kind"]) == (Status.FAILED, "InvalidFileName")
        assert "Use a name such as 'photo.jpg'" in row.error["message"]


@pytest.mark.parametrize(
    "key",
    [
        *("uploads/other/a.txt", "uploads/acme2/a.txt", "uploads/acme", "uploads/acme/"),
        *("uploads/acme/../other/a.txt", "/uploads/acme/a.txt", "uploads/acme/\udcff"),
        *("results/other/a.txt", "payloads/acme/a", "partial/another", "a.txt", ""),
    ],
    ids=ascii,
)
def test_a_job_reads_no_file_of_others(run: Any, key: str) -> None:
    for read in (RunningJob.read_file, RunningJob.open_file):
        row = run(lambda job, read=read: read(job, key) and None)
        assert (row.status, row.error["kind"]) == (Status.FAILED, "FileRefused")
        assert "below uploads/acme/, results/acme/, partial/" in row.error["message"]


def test_a_job_writes_into_its_own_folders_alone(run: Any) -> None:
    """Without a slash, the folder and a name make a key that is outside of the folder."""
    written: list[str] = []

    def write(key_of: Callable[[RunningJob], str]) -> Any:
        def work(job: RunningJob) -> None:
            written.append(key_of(job))
            job.write_file(written[-1], b"x")

        return run(work)

    for key_of in (
        lambda job: job.result_folder + "photo.jpg",
        lambda job: job.work_folder + "photo.jpg",
        lambda job: "results/acme/photo.jpg",
        lambda job: "uploads/acme/photo.jpg",
        lambda job: f"{job.result_folder}/../photo.jpg",
    ):
        row = write(key_of)
        assert (row.status, row.error["kind"]) == (Status.FAILED, "FileRefused")
        with pytest.raises(MissingObject):
            read_file(written[-1])
    for key_of in (
        lambda job: f"{job.result_folder}/photo.jpg",
        lambda job: job.work_file("seen"),
    ):
        assert write(key_of).status is Status.SUCCEEDED
        assert read_file(written[-1]) == b"x"


def test_a_large_file_is_read_in_parts_from_where_a_job_left_off(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job_runners.work.files._BLOCK_SIZE", 64)
    lines = [f"row {number}\r\n".encode() for number in range(100)]
    key = upload("rows.txt", b"".join(lines), **ACME)
    asked: list[int] = []
    get_range = bucket.get_range

    def counted(key: str, start: int, end: int, etag: str) -> bytes:
        asked.append(end - start)
        return get_range(key, start, end, etag)

    monkeypatch.setattr(bucket, "get_range", counted)

    def work(job: RunningJob) -> None:
        with job.open_file(key) as file:
            assert file.size == sum(map(len, lines))
            assert [next(file), next(file)] == lines[:2]
            at, etag = file.tell(), file.etag
        with job.open_file(key, etag=etag) as file:
            file.seek(at)
            assert list(file) == lines[2:]
            assert file.read() == b""
            assert file.seek(-1, io.SEEK_END) == file.size - 1
            with pytest.raises(ValueError, match="no position -1"):
                file.seek(-1)
            file.seek(0)
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            assert sum(1 for _ in csv.reader(text)) == 100
            assert max(asked) == 64
        with job.open_file(upload("large.bin", b"x" * 300_000, **ACME)) as file:
            file.seek(64)
            asked.clear()
            assert file.read() == b"x" * (300_000 - 64)
            assert len(asked) == 1

    assert run(work).status is Status.SUCCEEDED


def test_a_file_that_is_replaced_is_not_mixed_with_the_old_one(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job_runners.work.files._BLOCK_SIZE", 4)
    key = upload("rows.txt", b"old and long", **ACME)

    def work(job: RunningJob) -> str:
        file = job.open_file(key)
        assert file.read(4) == b"old "
        upload("rows.txt", b"new and long", **ACME)
        with pytest.raises(ObjectChanged):
            file.read(4)
        with pytest.raises(ObjectChanged):
            job.open_file(key, etag=file.etag)
        with pytest.raises(MissingObject):
            job.open_file("uploads/acme/none")
        with pytest.raises(MissingObject):
            job.read_file("uploads/acme/none")
        return "done"

    row = run(work)
    assert blobs.get(row.result, row.result_key) == "done"


def test_a_file_is_written_in_parts_and_only_as_a_whole(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * 1024 * 1024  # the least that S3 takes
    monkeypatch.setattr(multipart, "PART_SIZE", part)

    def parts(fails: bool) -> Iterator[bytes]:
        for each in b"abc":
            yield bytes([each]) * part
        if fails:
            raise ZeroDivisionError

    def work(job: RunningJob) -> str:
        key = job.result_file("large.bin")
        with pytest.raises(ZeroDivisionError):
            job.write_file(key, parts(fails=True))
        with pytest.raises(MissingObject):
            job.read_file(key)
        job.write_file(key, parts(fails=False))
        assert job.read_file(key) == b"".join(parts(fails=False))
        job.write_file(key, "Größe", content_type="text/plain; charset=utf-8")
        return job.read_file(key).decode()

    row = run(work)
    assert blobs.get(row.result, row.result_key) == "Größe"
