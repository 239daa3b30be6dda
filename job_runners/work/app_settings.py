"""Read the settings and secrets of your own jobs and tasks: `app_setting("API_KEY")`.

`job-runners config` writes them to SSM Parameter Store under APP_SETTINGS_PATH. One read loads all
of them and is cached for a minute, so workers pick up a rotated secret within a minute, without a
deploy. Values never appear in log lines or errors.
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

CACHE_TIME = clock.MINUTE
# While Parameter Store doesn't respond, cached values are used up to this age. A short outage must
# not fail jobs, but a revoked secret must not work for hours.
MAX_AGE_IN_OUTAGE = 15 * clock.MINUTE
# How long to wait before reading again, after a failed read or if a name is missing.
_REREAD_DELAY = 10 * clock.SECOND
# How long to wait if the missing name makes the job fail. This is shorter, because an operator who
# sees the failure sets the name and retries the job.
_REREAD_DELAY_BEFORE_FAILING = 1 * clock.SECOND

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

_NO_DEFAULT = object()

_log = logging.getLogger(__name__)


@overload
def app_setting(name: str) -> str: ...


@overload
def app_setting(name: str, *, default: str) -> str: ...


@overload
def app_setting(name: str, *, default: None) -> str | None: ...


def app_setting(name: str, *, default: Any = _NO_DEFAULT) -> str | None:
    """Return a setting or secret as it was at most a minute ago.

    The environment variable `APP_SETTING_<name>` comes first, then the value that
    `job-runners config set` wrote to Parameter Store. If there is neither, return `default`. Raises
    AppSettingMissing if there is no default either, and InvalidDefinition for an invalid name.
    Raises AppSettingsUnreadable if Parameter Store doesn't respond and no read has succeeded in the
    last 15 minutes. Threads may call this at the same time: only one of them reads.
    """
    if not _NAME.fullmatch(name):
        raise InvalidDefinition(
            f"app_setting({name!r}): a name must have 1 to 64 capital letters, digits and _, and "
            "start with a letter, such as API_KEY"
        )
    value = app_setting_override(name)
    if value is None:
        path = settings().app_settings_path
        max_age = _REREAD_DELAY_BEFORE_FAILING if default is _NO_DEFAULT else _REREAD_DELAY
        value = _cache.value(path, name, max_age) if path else None
    if value is not None:
        return value
    if default is _NO_DEFAULT:
        raise AppSettingMissing(name, APP_SETTING + name, settings().app_settings_path)
    fallback: str | None = default
    return fallback


@dataclass(frozen=True)
class _Read:
    """The result of one read of Parameter Store."""

    read_at: int
    values: Mapping[str, str] = field(repr=False)  # hidden, because some are secrets

    @property
    def age(self) -> int:
        return clock.now() - self.read_at


class _Cache:
    """The cached result of the last read.

    While one thread reads, the others use the cache, or wait if it is empty.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_read: _Read | None = None
        self._failed_at = 0
        self._failure = ""

    def value(self, path: str, name: str, max_age: int) -> str | None:
        """Return a value, or None if it is missing.

        None comes from a read that is at most `max_age` milliseconds old, unless AWS fails.
        """
        value = self._all_values(path, CACHE_TIME).get(name)
        if value is not None:
            return value
        # An operator may have set the value since that read.
        return self._all_values(path, max_age).get(name)

    def _all_values(self, path: str, max_age: int) -> Mapping[str, str]:
        """Return all values. They are at most `max_age` ms old, unless Parameter Store fails."""
        cached = self._usable_read()
        # Another thread is reading, so don't wait for it.
        if cached and self._lock.locked():
            return cached.values
        with self._lock:
            cached = self._usable_read()  # another thread may have read in the meantime
            if cached and cached.age < max_age:
                return cached.values
            if self._has_just_failed():
                if cached is None:
                    raise AppSettingsUnreadable(path, self._failure)
                return cached.values
            try:
                self._last_read = _Read(clock.now(), _read(path))
            except AWS_ERRORS as error:
                self._failed_at = clock.now()
                self._failure = _reason(error)
                if cached is None:
                    raise AppSettingsUnreadable(path, self._failure) from error
                _log.warning(
                    "The settings under %s can't be read (%s); those of %d s ago are used, for at "
                    "most %d minutes",
                    path,
                    self._failure,
                    cached.age // clock.SECOND,
                    MAX_AGE_IN_OUTAGE // clock.MINUTE,
                )
                return cached.values
            return self._last_read.values

    def _usable_read(self) -> _Read | None:
        """Return the last read, or None if it is too old to be used."""
        read = self._last_read
        if read is None or read.age >= MAX_AGE_IN_OUTAGE:
            return None
        return read

    def _has_just_failed(self) -> bool:
        return clock.now() - self._failed_at < _REREAD_DELAY


_cache = _Cache()


@caches.register
def _forget() -> None:
    global _cache
    _cache = _Cache()


def _read(path: str) -> dict[str, str]:
    """Return the values of all parameters under a path, by the last part of their names."""
    pages = clients.client("ssm").get_paginator("get_parameters_by_path")
    return {
        parameter["Name"].rsplit("/", 1)[1]: parameter["Value"]
        for page in pages.paginate(Path=path, WithDecryption=True)
        for parameter in page["Parameters"]
    }


def _reason(error: Exception) -> str:
    """Return why a read failed: AWS's error code, or the type of the error."""
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code"))
    return type(error).__name__
