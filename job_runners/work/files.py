"""Read and write a job's files in S3, by their keys."""

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from job_runners import names
from job_runners.store.job_request import JobRequest
from job_runners.work.errors import FileRefused, InvalidFileName

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from job_runners.aws.bucket import Version

# `job_runners.aws.bucket` is imported in the functions that use it, because most jobs have no
# files.

FOLDERS = ("uploads", "results")  # each has a folder per organization, which `erase` deletes
_MAX_NAME_LENGTH = 255  # bytes, so that folder and name stay below S3's limit of 1,024
_BLOCK_SIZE = 1024 * 1024  # bytes to read at a time


class JobFiles:
    """The files that a job reads and writes, by their keys.

    A key is text, so a payload, a cursor or a result can contain it.
    """

    _row: JobRequest

    @property
    def result_folder(self) -> str:
        """Return the folder of the job's result files. To name a file in it, call `result_file`."""
        return self._row.result_folder

    @property
    def work_folder(self) -> str:
        """Return the folder of the files that only this job's later invocations and attempts need.

        It is empty when the job starts, and after a manual retry with another payload. To name a
        file in it, call `work_file`.
        """
        return self._row.work_folder

    def result_file(self, name: str) -> str:
        """Return the key of a result file, such as `job.result_file("photo.jpg")`.

        Result files belong to the job's organization and are deleted with the job. If the job's
        result has the key as its `file` (`{"file": key}`), the API adds a URL of the file. A name
        may have folders, such as "pages/1.png". Raises InvalidFileName.
        """
        return _key(self.result_folder, name)

    def work_file(self, name: str) -> str:
        """Return the key of a file in `work_folder`. Raises InvalidFileName."""
        return _key(self.work_folder, name)

    def read_file(self, key: str) -> bytes:
        """Return a whole file. To read a large file in parts, call `open_file`.

        A job may read its organization's uploads and result files, and its own work files. Raises
        FileRefused for any other key, and MissingObject if there is no such file.
        """
        from job_runners.aws import bucket

        self._check(key, *self._readable_folders)
        return bucket.get_bytes(key)

    def open_file(self, key: str, *, etag: str | None = None) -> "StoredFile":
        """Open a file of any size for reading, like `open(path, "rb")`.

        The file is read in blocks of 1 MiB. It has a `size` and an `etag`, which changes with the
        content. To read the same content in several invocations, pass the `etag` that the first
        invocation got. If the file has been replaced, this raises ObjectChanged. So does a read if
        the file is replaced after this. Raises FileRefused and MissingObject, as `read_file` does.
        """
        from job_runners.errors import ObjectChanged

        self._check(key, *self._readable_folders)
        file = StoredFile.at(key)
        if etag is not None and etag != file.etag:
            raise ObjectChanged(key)
        return file

    def write_file(
        self,
        key: str,
        data: bytes | str | Iterable[bytes],
        *,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Write or replace a whole file, and return its key.

        `key` must be the key of a result file or a work file of this job. Raises FileRefused for
        any other key. `data` is bytes, text (written as UTF-8), or an iterable of bytes. An
        iterable may be long: at most 8 MiB and one more item are in memory at a time. Readers never
        see a partial file.
        """
        from job_runners.aws import multipart

        self._check(key, self.result_folder, self.work_folder)
        if isinstance(data, str):
            data = data.encode()
        blocks = [data] if isinstance(data, bytes) else data
        multipart.write(key, blocks, content_type)
        return key

    @property
    def _readable_folders(self) -> list[str]:
        return [*folders_of(self._row.organization_id), self.work_folder]

    def _check(self, key: str, *folders: str) -> None:
        """Raise FileRefused if a key is in none of these folders."""
        if not any(is_in(folder, key) for folder in folders):
            raise FileRefused(key, folders)


def folders_of(organization_id: str) -> list[str]:
    """Return the bucket's folders that every job of an organization may read."""
    return [f"{folder}/{organization_id}" for folder in FOLDERS]


class StoredFile(io.BufferedReader):
    """A file in the bucket, open for reading.

    `size` is its size in bytes. `etag` changes with the content.
    """

    def __init__(self, stream: "_RangeStream") -> None:
        super().__init__(stream, _BLOCK_SIZE)
        self.size = stream.version.size
        self.etag = stream.version.etag

    @classmethod
    def at(cls, key: str) -> Self:
        """Open the file with this key. Raises MissingObject."""
        from job_runners.aws import bucket

        return cls(_RangeStream(key, bucket.version(key)))

    def read1(self, size: int = -1) -> bytes:
        """Return up to `size` bytes from the buffer.

        TextIOWrapper calls this for 8 KiB at a time. Without the buffer, each call would be a
        request to S3.
        """
        self.peek(1)  # fills the buffer if it is empty
        return super().read1(size)


class _RangeStream(io.RawIOBase):
    """An unbuffered stream of one version of a file. Each read is a request for a part of it."""

    def __init__(self, key: str, version: "Version") -> None:
        super().__init__()
        self._key = key
        self.version = version
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.version.size}
        position = origins[whence] + offset
        if position < 0:
            raise ValueError(f"a file has no position {position}")
        self._position = position
        return position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        data = self._read_next(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._read_next(self.version.size)

    def _read_next(self, length: int) -> bytes:
        from job_runners.aws import bucket

        start = self._position
        end = min(start + length, self.version.size)
        if end <= start:
            return b""
        data = bucket.get_range(self._key, start, end, self.version.etag)
        self._position += len(data)
        return data


def is_in(folder: str, key: str) -> bool:
    """Return whether a key names a file in or below a folder.

    Return False if a part of the key after the folder is empty, "." or "..".
    """
    prefix = f"{folder}/"
    if not key.startswith(prefix) or not _is_utf_8(key):
        return False
    parts = key.removeprefix(prefix).split("/")
    return {"", *names.DOTS}.isdisjoint(parts)


def _key(folder: str, name: str) -> str:
    """Return the key of a file in a folder. Raises InvalidFileName."""
    key = f"{folder}/{name}"
    if (
        not is_in(folder, key)
        or len(name.encode()) > _MAX_NAME_LENGTH
        or not re.fullmatch(names.KEY, name)
    ):
        raise InvalidFileName(name, _MAX_NAME_LENGTH)
    return key


def _is_utf_8(text: str) -> bool:
    """Return whether text has no lone surrogates, which file names from `os.listdir` may have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
