"""Read the settings from environment variables, once. An error names the wrong variable."""

import os
from functools import cache, cached_property
from pathlib import Path

from job_runners.errors import InvalidSetting, MissingSetting
from job_runners.values import Value

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# The prefix of variables that hold app settings (the settings of an organization's own jobs), such
# as APP_SETTING_API_KEY.
APP_SETTING = "APP_SETTING_"
# The folder of tests in a project, which isn't a package of jobs.
APP_TESTS = "tests"
# A file that a build puts next to this one. Each line names a package of the project.
APP_PACKAGES_FILE = "app_packages.txt"
# A variable for tests: modules whose work is used instead of that of the project's packages.
PACKAGES_VARIABLE = "JOBS_PACKAGES"
# The variable that names the project, the folder of an organization's own work. An empty value
# means no project.
PROJECT_VARIABLE = "JOBS_PROJECT"
_CODE = Path(__file__).parent.parent
# A file that a build puts there too: a hash of the code in the build.
BUILD_ID_FILE = "build_id.txt"


class Settings(Value, kw_only=True):
    """The settings. A setting has its default if its variable is missing or empty."""

    job_runner: str
    app_packages: tuple[str, ...]  # the packages of the project
    app_folder: Path | None  # the project; None in a build, which has copies of its packages
    worker_classes: tuple[str, ...] | None  # those of app.toml; None if it isn't known here
    worker_class: str | None  # of this function; None in other functions than those of classes
    retention_days: int
    max_unfinished_jobs: int  # per organization; 0 means no limit
    has_bucket: bool
    log_payloads: bool
    keep_task_payloads: bool  # of tasks that failed permanently
    traces: bool  # with OpenTelemetry
    log_level: str  # the lowest level that is logged, by the engine and by jobs
    # the legacy runner
    jobs_same_process: bool
    jobs_sync: bool
    tasks_sync: bool
    job_timeout_seconds: int
    api_runs_work: bool  # whether this is a deployed stack, whose API function does all work
    # the lambda-async runner
    worker_function: str | None
    delay_queue_url: str | None
    on_lambda: bool
    is_sam_local: bool
    starts_from_snapshot: bool
    # who may call the API
    access_mode: str
    jwt_organization_claim: str
    jwt_roles_claim: str
    public_url: str | None  # the address of the API, for the URLs of answers
    # where the end of every job is announced
    event_bus: str | None  # the name of an EventBridge bus
    outcome_topic: str | None  # the ARN of an SNS topic
    webhook_subscriptions: bool  # whether organizations may subscribe webhooks to ends
    loopback_webhooks: bool  # whether webhooks may go to this machine, only on the local AWS
    # the path of the app settings in Parameter Store
    app_settings_path: str | None
    # the log group that has the log lines of jobs
    worker_log_group: str | None
    region: str | None
    # a local AWS, for development
    has_local_aws: bool
    has_local_s3: bool

    @cached_property
    def announces_every_end(self) -> bool:
        """Return whether the end of every job is announced, whether or not a webhook gets it."""
        return self.event_bus is not None or self.outcome_topic is not None

    @cached_property
    def may_announce(self) -> bool:
        """Return whether the ends of some jobs may be announced."""
        return self.webhook_subscriptions or self.announces_every_end

    @staticmethod
    def from_environment() -> "Settings":
        """Read all settings. Raises InvalidSetting for the first invalid one."""
        app_folder, app_packages = _app()
        return Settings(
            job_runner=_text("JOB_RUNNER", "legacy"),
            app_packages=app_packages,
            app_folder=app_folder,
            worker_classes=_worker_classes(),
            worker_class=_text("WORKER_CLASS", "") or None,
            retention_days=_whole("RETENTION_DAYS", 30),
            max_unfinished_jobs=_whole("MAX_UNFINISHED_JOBS", 0, least=0),
            has_bucket=bool(_text("BUCKET_NAME", "")),
            log_payloads=_flag("LOG_PAYLOADS", False),
            keep_task_payloads=_flag("KEEP_TASK_PAYLOADS", False),
            traces=_flag("TRACES", False),
            log_level=_choice("POWERTOOLS_LOG_LEVEL", "INFO", _LOG_LEVELS, upper=True),
            jobs_same_process=_flag("JOBS_SAME_PROCESS", True),
            jobs_sync=_flag("JOBS_SYNC", False),
            tasks_sync=_flag("TASKS_SYNC", False),
            job_timeout_seconds=_whole("JOB_TIMEOUT_SECONDS", 900),
            api_runs_work=_flag("API_RUNS_WORK", False),
            worker_function=_text("WORKER_LAMBDA_FUNCTION_NAME", "") or None,
            delay_queue_url=_text("DELAY_QUEUE_URL", "") or None,
            on_lambda=bool(_text("AWS_LAMBDA_FUNCTION_NAME", "")),
            is_sam_local=_flag("AWS_SAM_LOCAL", False),  # SAM sets it
            starts_from_snapshot=_text("AWS_LAMBDA_INITIALIZATION_TYPE", "") == "snap-start",
            access_mode=_choice("ACCESS_MODE", "iam", ("iam", "jwt")),
            jwt_organization_claim=_text("JWT_ORGANIZATION_CLAIM", "organization_id"),
            jwt_roles_claim=_text("JWT_ROLES_CLAIM", "roles"),
            public_url=_text("PUBLIC_URL", "").rstrip("/") or None,
            event_bus=_text("EVENT_BUS_NAME", "") or None,
            outcome_topic=_text("OUTCOME_TOPIC_ARN", "") or None,
            webhook_subscriptions=_flag("WEBHOOK_SUBSCRIPTIONS", False),
            loopback_webhooks=bool(_text("AWS_ENDPOINT_URL", ""))
            and _flag("LOOPBACK_WEBHOOKS", False),
            app_settings_path=_text("APP_SETTINGS_PATH", "").rstrip("/") or None,
            worker_log_group=_text("WORKER_LOG_GROUP_NAME", "") or None,
            region=_text("AWS_REGION", "") or None,
            has_local_aws=bool(_text("AWS_ENDPOINT_URL", "")),
            has_local_s3=bool(_text("AWS_ENDPOINT_URL_S3", _text("AWS_ENDPOINT_URL", ""))),
        )


@cache
def settings() -> Settings:
    """Return the settings of this process. The first call reads them."""
    return Settings.from_environment()


def has_engine() -> bool:
    """Return whether JOB_RUNNER is set, as in every process that has the engine's permissions."""
    return bool(os.environ.get("JOB_RUNNER"))


@cache
def build_id() -> str | None:
    """Return a hash of the deployed code, or None in a checkout."""
    try:
        found = (_CODE / BUILD_ID_FILE).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return found or None


@cache
def required(variable: str, needed_by: str) -> str:
    """Return a setting that `needed_by` needs. Raises MissingSetting."""
    value = _text(variable, "")
    if not value:
        raise MissingSetting(variable, needed_by)
    return value


def app_setting_override(name: str) -> str | None:
    """Return the value that the environment has for an app setting, or None.

    Tests, and processes without Parameter Store, use this value.
    """
    return os.environ.get(APP_SETTING + name)


def _app() -> tuple[Path | None, tuple[str, ...]]:
    """Return the project and its packages. In a build, and without a project, the first is None."""
    named = tuple(filter(None, map(str.strip, _text(PACKAGES_VARIABLE, "").split(","))))
    try:
        built = (_CODE / APP_PACKAGES_FILE).read_text(encoding="utf-8").split()
    except FileNotFoundError:  # this isn't a build
        folder = project_folder()
    else:
        return None, named or tuple(built)
    if folder is None:
        return None, named
    if not folder.is_dir():
        value = os.environ[PROJECT_VARIABLE]
        raise InvalidSetting(PROJECT_VARIABLE, value, f"an existing folder ({folder} isn't one)")
    return folder, named or packages_in(folder)


def _worker_classes() -> tuple[str, ...] | None:
    named = os.environ.get("WORKER_CLASSES")
    return None if named is None else tuple(filter(None, named.split(",")))


def project_folder() -> Path | None:
    """Return the project that JOBS_PROJECT names, or None.

    This doesn't check whether the folder that JOBS_PROJECT names exists.
    """
    named = _text(PROJECT_VARIABLE, "")
    return Path(named).resolve() if named else None


def packages_in(folder: Path) -> tuple[str, ...]:
    """Return the names of the packages in a project, in alphabetical order."""
    return tuple(
        sorted(
            package.parent.name
            for package in folder.glob("*/__init__.py")
            if package.parent.name != APP_TESTS and not package.parent.name.startswith(".")
        )
    )


def service_name() -> str:
    """Return the name that log lines have as their `service`: in a stack, the stack's."""
    return _text("POWERTOOLS_SERVICE_NAME", "job-runners")


def forget() -> None:
    """Clear the cached settings, for tests and for a process that changes its environment."""
    settings.cache_clear()
    required.cache_clear()


def _text(variable: str, default: str) -> str:
    return os.environ.get(variable, "").strip() or default


def _flag(variable: str, default: bool) -> bool:
    value = _text(variable, "").lower()
    if not value:
        return default
    if value not in _TRUE | _FALSE:
        raise InvalidSetting(variable, value, "true or false")
    return value in _TRUE


def _whole(variable: str, default: int, least: int = 1) -> int:
    value = _text(variable, str(default))
    if not value.isascii() or not value.isdigit() or int(value) < least:
        allowed = f"a whole number above {least - 1}" if least else "a whole number"
        raise InvalidSetting(variable, value, allowed)
    return int(value)


def _choice(variable: str, default: str, choices: tuple[str, ...], *, upper: bool = False) -> str:
    value = _text(variable, default)
    if upper:
        value = value.upper()
    if value not in choices:
        raise InvalidSetting(variable, value, " or ".join(choices))
    return value
