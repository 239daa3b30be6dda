"""Read the settings and secrets of your own jobs and tasks: `app_setting("API_KEY")`.

They are in SSM Parameter Store under APP_SETTINGS_PATH, and `job-runners config` writes them. One
read loads all of them and is cached for a minute, so a rotated secret is used within a minute
without a deploy. Values never appear in log lines or errors.
"""

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, overload

from botocore.exceptions import ClientError

from job_runners import caches, clock
from job_runners.aws import clients
from job_runners.aws.errors import AWS_ERRORS
from job_runners.errors import InvalidDefinition
from job_runners.settings import APP_SETTING, app_setting_override, settings
from job_runners.work.errors import AppSettingMissing, AppSettingsUnreadable

FRESH = clock.MINUTE
# While Parameter Store doesn't answer, cached values are used up to this age. A short outage must
# not fail jobs, but a revoked secret must not work for hours.
STALE = 15 * clock.MINUTE
_REREAD_DELAY = 10 * clock.SECOND  # between two reads after a failure, or for a missing name
# The same for a missing name that would fail the job. It is shorter, because an operator who sees
# that failure sets the name and retries the job.
_REREAD_DELAY_BEFORE_FAILING = 1 * clock.SECOND

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

_REQUIRED = object()  # marks the absence of a default

_log = logging.getLogger(__name__)


@overload
def app_setting(name: str) -> str: ...


@overload
def app_setting(name: str, *, default: str) -> str: ...


@overload
def app_setting(name: str, *, default: None) -> str | None: ...


def app_setting(name: str, *, default: Any = _REQUIRED) -> str | None:
    """Return a setting or secret as it was at most a minute ago.

    The environment variable `APP_SETTING_<name>` comes first, then the value that
    `job-runners config set` wrote to Parameter Store. If there is neither, return `default`. Raises
    AppSettingMissing if there is no default either, and InvalidDefinition for an invalid name.
    Raises AppSettingsUnreadable if Parameter Store doesn't answer and no read has succeeded in the
    last 15 minutes. Several threads may call this: only one of them reads at a time.
    """
    if not _NAME.fullmatch(name):
        raise InvalidDefinition(
            f"app_setting({name!r}): a name must have 1 to 64 capital letters, digits and _, and "
            "start with a letter, such as API_KEY"
        )
    value = app_setting_override(name)
    if value is None:
        path = settings().app_settings_path
        max_age = _REREAD_DELAY_BEFORE_FAILING if default is _REQUIRED else _REREAD_DELAY
        value = _cache.value(path, name, max_age) if path else None
    if value is not None:
        return value
    if default is _REQUIRED:
        raise AppSettingMissing(name, APP_SETTING + name, settings().app_settings_path)
    fallback: str | None = default
    return fallback


@dataclass(frozen=True)
class _Read:
    """The result of one read of Parameter Store."""

    at: int
    values: Mapping[str, str] = field(repr=False)

    @property
    def age(self) -> int:
        return clock.now() - self.at


class _Cache:
    """The cached result of the last read. One thread reads at a time. The others use the cache, or
    wait if it is empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: _Read | None = None
        self._failed_at = 0
        self._failure = ""

    def value(self, path: str, name: str, max_age: int) -> str | None:
        """Return a value, or None if a read at most `max_age` milliseconds ago didn't find it."""
        value = self._values(path, FRESH).get(name)
        # An operator may have set it since that read, for a job that needs it now.
        return self._values(path, max_age).get(name) if value is None else value

    def _values(self, path: str, max_age: int) -> Mapping[str, str]:
        """Return all values, at most `max_age` milliseconds old if Parameter Store answers."""
        known = self._known()
        if known and self._lock.locked():
            return known.values
        with self._lock:
            known = self._known()  # another thread may have read in the meantime
            if known and known.age < max_age:
                return known.values
            if self._has_just_failed():
                if known is None:
                    raise AppSettingsUnreadable(path, self._failure)
                return known.values
            try:
                self._read = _Read(clock.now(), _read(path))
            except AWS_ERRORS as error:
                self._failed_at, self._failure = clock.now(), _reason(error)
                if known is None:
                    raise AppSettingsUnreadable(path, self._failure) from error
                _log.warning(
                    "The settings under %s can't be read (%s); those of %d s ago are used, for at "
                    "most %d minutes",
                    path,
                    self._failure,
                    known.age // clock.SECOND,
                    STALE // clock.MINUTE,
                )
                return known.values
            return self._read.values

    def _known(self) -> _Read | None:
        """Return the last read unless it is too old."""
        read = self._read
        return read if read and read.age < STALE else None

    def _has_just_failed(self) -> bool:
        return clock.now() - self._failed_at < _REREAD_DELAY


_cache = _Cache()


@caches.register
def _forget() -> None:
    global _cache
    _cache = _Cache()


def _read(path: str) -> dict[str, str]:
    pages = clients.client("ssm").get_paginator("get_parameters_by_path")
    return {
        each["Name"].rsplit("/", 1)[1]: each["Value"]
        for page in pages.paginate(Path=path, WithDecryption=True)
        for each in page["Parameters"]
    }


def _reason(error: Exception) -> str:
    """Return the reason why a read failed: AWS's error code, or the type of the error."""
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code"))
    return type(error).__name__
