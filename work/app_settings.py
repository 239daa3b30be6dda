"""Settings and secrets of your own work: `app_setting("API_KEY")`.

They are in SSM's Parameter Store, under APP_SETTINGS_PATH, and `jobs config` writes them. All are
read at once and kept for a minute, so that a rotated secret is in use after at most as long, with
no deploy. No value is ever in a log line or in an error.
"""

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, overload

from botocore.exceptions import ClientError

import clock
from aws import clients
from aws.errors import AWS_ERRORS
from errors import InvalidDefinition
from settings import APP_SETTING, app_setting_override, settings
from work.errors import AppSettingMissing, AppSettingsUnreadable

FRESH = clock.MINUTE
# While Parameter Store does not answer, what was read last is used for so long: a minute of its
# absence shall not fail work, and a secret that was taken back shall not work for hours.
STALE = 15 * clock.MINUTE
_AGAIN = 10 * clock.SECOND  # between two reads that bring nothing: a name not there, a failure
# Work that fails for a name that is not there is what somebody sees, sets it, and runs again.
_AGAIN_BEFORE_FAILING = 1 * clock.SECOND

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

_REQUIRED = object()  # there is no default

_log = logging.getLogger(__name__)


@overload
def app_setting(name: str) -> str: ...


@overload
def app_setting(name: str, *, default: str) -> str: ...


@overload
def app_setting(name: str, *, default: None) -> str | None: ...


def app_setting(name: str, *, default: Any = _REQUIRED) -> str | None:
    """Return the setting or secret of this name, as it was at most a minute ago.

    The environment variable `APP_SETTING_` and the name comes first, if it is set; then what
    `jobs config set` has put into Parameter Store. One that is not there is `default`, or raises
    AppSettingMissing if no default is given. Raises AppSettingsUnreadable while Parameter Store
    does not answer and nothing was read in the last 15 minutes, and InvalidDefinition for what
    can't be a name. Threads may call it; only one of them reads.
    """
    if not _NAME.fullmatch(name):
        raise InvalidDefinition(
            f"app_setting({name!r}): a name has up to 64 capital letters, digits and _, and begins "
            "with a letter, as API_KEY"
        )
    value = app_setting_override(name)
    if value is None:
        path = settings().app_settings_path
        again = _AGAIN_BEFORE_FAILING if default is _REQUIRED else _AGAIN
        value = _kept.value(path, name, again) if path else None
    if value is not None:
        return value
    if default is _REQUIRED:
        raise AppSettingMissing(name, APP_SETTING + name, settings().app_settings_path)
    fallback: str | None = default
    return fallback


@dataclass(frozen=True)
class _Read:
    """What one read of the store found."""

    at: int
    values: Mapping[str, str] = field(repr=False)

    @property
    def age(self) -> int:
        return clock.now() - self.at


class _Kept:
    """What was read last. One thread reads at a time; others take what there is, or wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: _Read | None = None
        self._failed_at = 0
        self._failure = ""

    def value(self, path: str, name: str, again: int) -> str | None:
        """Return a value; None if there was none at most `again` milliseconds ago."""
        value = self._values(path, FRESH).get(name)
        # It may have been set since: whoever sets it and dispatches a job means that job too.
        return self._values(path, again).get(name) if value is None else value

    def _values(self, path: str, age: int) -> Mapping[str, str]:
        """Return what is there, as it was at most `age` milliseconds ago if it can be read."""
        known = self._known()
        if known and self._lock.locked():
            return known.values
        with self._lock:
            known = self._known()  # by now another thread may have read it
            if known and known.age < age:
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
        """Return what was read, if it can still be used."""
        read = self._read
        return read if read and read.age < STALE else None

    def _has_just_failed(self) -> bool:
        return clock.now() - self._failed_at < _AGAIN


_kept = _Kept()


def forget() -> None:
    """Read every setting anew: for tests."""
    global _kept
    _kept = _Kept()


def _read(path: str) -> dict[str, str]:
    pages = clients.client("ssm").get_paginator("get_parameters_by_path")
    return {
        each["Name"].rsplit("/", 1)[1]: each["Value"]
        for page in pages.paginate(Path=path, WithDecryption=True)
        for each in page["Parameters"]
    }


def _reason(error: Exception) -> str:
    """Return why a read failed, in a word: AWS's own code, or what kind of error it was."""
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code"))
    return type(error).__name__
