"""Settings and secrets of one's own work: read once a minute, for all threads, and never shown."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from job_runners import clock
from job_runners.aws import clients
from job_runners.errors import DoNotRetry, InvalidDefinition
from job_runners.testing.aws import forget
from job_runners.testing.plain_clients import full_client
from job_runners.work import app_setting, app_settings
from job_runners.work.errors import AppSettingMissing, AppSettingsUnreadable

PATH = "/job-runners/app"


@pytest.fixture(autouse=True)
def path(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say where they are, as the template does."""
    monkeypatch.setenv("APP_SETTINGS_PATH", PATH)
    forget()


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what moves the clock on, by seconds; it stands still otherwise."""
    now = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: now[0])

    def move(seconds: int) -> None:
        now[0] += seconds * clock.SECOND

    return move


class Store:
    """Parameter Store as it is asked: how often, and whether it answers."""

    def __init__(self) -> None:
        self.reads = 0
        self.paths: set[str] = set()
        self.away = False
        self.refuses = False
        self.pause: threading.Event | None = None
        clients.client("ssm").meta.events.register(
            "provide-client-params.ssm.GetParametersByPath", self._asked
        )

    def _asked(self, params: dict[str, Any], **_: Any) -> None:
        self.reads += 1
        self.paths.add(params["Path"])
        if self.pause:
            assert self.pause.wait(30)
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://ssm.example")
        if self.refuses:
            answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
            raise ClientError(answer, "GetParametersByPath")


@pytest.fixture
def store() -> Store:
    """Return the store, watched."""
    return Store()


def keep(name: str, value: str, *, path: str = PATH, kind: str = "String") -> None:
    full_client("ssm").put_parameter(Name=f"{path}/{name}", Value=value, Type=kind, Overwrite=True)


def test_settings_and_secrets_are_read_alike() -> None:
    keep("GREETING", "Hello")
    keep("API_KEY", "s3cret", kind="SecureString")
    assert app_setting("GREETING") == "Hello"
    assert app_setting("API_KEY") == "s3cret"


def test_no_more_is_asked_for_than_the_workers_role_may_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """IAM holds a request to this one path: tests/build/test_template_choices.py has the policy."""
    monkeypatch.setenv("APP_SETTINGS_PATH", f"{PATH}/")
    forget()
    store = Store()
    app_setting("API_KEY", default=None)
    assert store.paths == {PATH}


def test_more_than_one_page_is_read_at_once(store: Store) -> None:
    for number in range(23):
        keep(f"NUMBER_{number}", str(number))
    assert [app_setting(f"NUMBER_{number}") for number in range(23)] == list(map(str, range(23)))
    assert store.reads == 3  # pages of ten


def test_no_other_stacks_settings_are_read() -> None:
    keep("API_KEY", "theirs", path="/job-runners-2/app")
    keep("DEEPER", "a folder's", path=f"{PATH}/folder")
    assert app_setting("API_KEY", default=None) is None
    assert app_setting("DEEPER", default=None) is None


def test_a_rotated_secret_is_in_use_after_a_minute(
    store: Store, pass_time: Callable[[int], None]
) -> None:
    keep("API_KEY", "old")
    assert app_setting("API_KEY") == "old"
    keep("API_KEY", "new")
    pass_time(59)
    assert app_setting("API_KEY") == "old"
    assert store.reads == 1
    pass_time(2)
    assert app_setting("API_KEY") == "new"
    assert store.reads == 2


def test_one_that_was_not_there_is_looked_for_again_soon(
    store: Store, pass_time: Callable[[int], None]
) -> None:
    keep("OTHER", "x")
    assert app_setting("API_KEY", default="none") == "none"
    assert app_setting("API_KEY", default="none") == "none"
    assert store.reads == 1
    keep("API_KEY", "now it is")
    pass_time(9)
    assert app_setting("API_KEY", default="none") == "none"
    pass_time(2)
    assert app_setting("API_KEY", default="none") == "now it is"


def test_one_that_a_job_failed_for_is_there_for_the_next_one(
    store: Store, pass_time: Callable[[int], None]
) -> None:
    keep("OTHER", "x")
    for _ in range(2):
        with pytest.raises(AppSettingMissing):
            app_setting("API_KEY")
    assert store.reads == 1
    keep("API_KEY", "now it is")
    pass_time(1)
    assert app_setting("API_KEY") == "now it is"


def test_one_that_is_missing_says_how_it_is_set() -> None:
    with pytest.raises(AppSettingMissing) as missing:
        app_setting("API_KEY")
    assert str(missing.value) == (
        "The setting API_KEY doesn't exist under /job-runners/app. "
        "Set it with job-runners config set API_KEY, and --secret for a secret."
    )
    assert isinstance(missing.value, DoNotRetry)  # no retry brings it
    assert app_setting("API_KEY", default="a default") == "a default"
    assert app_setting("API_KEY", default=None) is None


def test_the_environment_comes_first_and_needs_no_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("API_KEY", "of the store")
    monkeypatch.setenv("APP_SETTING_API_KEY", "of the environment")
    assert app_setting("API_KEY") == "of the environment"
    assert store.reads == 0


def test_without_a_store_the_environment_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_SETTINGS_PATH")
    forget()
    with pytest.raises(
        AppSettingMissing, match=r"exist\. Set APP_SETTING_API_KEY; .* job_settings"
    ):
        app_setting("API_KEY")


@pytest.mark.parametrize("name", ["", "api_key", "API-KEY", "API/KEY", "1KEY", "A" * 65, "ÀPI"])
def test_what_can_not_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidDefinition, match="capital letters"):
        app_setting(name, default="x")


# --- threads --------------------------------------------------------------------------------------


def together(count: int, release: threading.Event) -> list[object]:
    """Return what so many threads get that ask at once, while the read waits for `release`."""
    got: list[object] = []

    def ask() -> None:
        try:
            got.append(app_setting("API_KEY"))
        except AppSettingsUnreadable as error:
            got.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join(30)
    return got


def test_threads_that_ask_at_once_read_once(store: Store) -> None:
    keep("API_KEY", "s3cret")
    store.pause = threading.Event()
    assert together(8, store.pause) == ["s3cret"] * 8
    assert store.reads == 1


def test_threads_that_ask_a_store_that_is_away_do_not_wait_one_after_the_other(
    store: Store,
) -> None:
    store.away, store.pause = True, threading.Event()
    assert together(8, store.pause) == [AppSettingsUnreadable] * 8
    assert store.reads == 1


def test_while_one_thread_reads_anew_others_go_on_with_what_was_read(
    store: Store, pass_time: Callable[[int], None]
) -> None:
    keep("API_KEY", "old")
    assert app_setting("API_KEY") == "old"
    keep("API_KEY", "new")
    pass_time(61)
    store.pause = threading.Event()
    first = threading.Thread(target=app_setting, args=("API_KEY",))
    first.start()
    while store.reads < 2:
        first.join(0.01)
    assert app_setting("API_KEY") == "old"  # and does not wait
    store.pause.set()
    first.join(30)
    assert app_setting("API_KEY") == "new"


# --- a store that does not answer -----------------------------------------------------------------


def test_a_store_that_is_away_is_bridged_for_a_time_and_the_log_says_so(
    store: Store, pass_time: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    keep("API_KEY", "s3cret")
    assert app_setting("API_KEY") == "s3cret"
    store.away = True
    pass_time(120)
    assert app_setting("API_KEY") == "s3cret"
    (warning,) = [each for each in caplog.messages if "can't be read" in each]
    assert PATH in warning
    assert "EndpointConnectionError" in warning
    assert "those of 120 s ago" in warning
    app_setting("API_KEY")
    assert store.reads == 2  # not asked again at once
    pass_time(14 * 60)
    with pytest.raises(AppSettingsUnreadable, match=PATH):
        app_setting("API_KEY")
    store.away = False
    pass_time(11)
    assert app_setting("API_KEY") == "s3cret"


def test_a_store_that_never_answered_is_said_and_may_be_tried_again(store: Store) -> None:
    store.away = True
    with pytest.raises(AppSettingsUnreadable, match="EndpointConnectionError") as refused:
        app_setting("API_KEY", default="a default that would hide it")
    assert not isinstance(refused.value, DoNotRetry)


def test_a_store_that_refuses_says_why(store: Store) -> None:
    store.refuses = True
    with pytest.raises(AppSettingsUnreadable, match="AccessDeniedException"):
        app_setting("API_KEY")


def test_no_value_is_in_a_log_line_or_an_error(
    store: Store, pass_time: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    keep("API_KEY", "s3cret", kind="SecureString")
    with caplog.at_level(logging.INFO):
        assert app_setting("API_KEY") == "s3cret"
        store.away = True
        pass_time(120)
        app_setting("API_KEY")
        with pytest.raises(AppSettingMissing) as missing:
            app_setting("OTHER")
    shown = [*caplog.messages, str(missing.value), repr(app_settings._cache._last_read)]
    assert not [each for each in shown if "s3cret" in each]
