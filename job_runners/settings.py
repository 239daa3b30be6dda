"""Read the settings from environment variables, once per process."""

import os
from functools import cache, cached_property
from pathlib import Path

from job_runners.errors import InvalidSetting, MissingSetting

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# The app is the organization's own jobs and tasks. The project is the folder with their code.
# This variable names the project. An empty value means no project.
PROJECT_VARIABLE = "JOBS_PROJECT"
# A variable for tests: names of modules that replace the project's packages.
PACKAGES_VARIABLE = "JOBS_PACKAGES"
# The folder of tests in a project, which isn't a package of jobs.
APP_TESTS = "tests"
# The prefix of variables with the app's own settings, such as APP_SETTING_API_KEY.
APP_SETTING = "APP_SETTING_"

_CODE = Path(__file__).parent.parent  # contains the package `job_runners`
# A build puts these two files into _CODE: the names of the project's packages, one on each line,
# and a hash of the built code.
APP_PACKAGES_FILE = "app_packages.txt"
BUILD_ID_FILE = "build_id.txt"


class Settings:
    """The settings. If a variable is missing or empty, its setting has the default."""

    def __init__(self) -> None:
        """Read all settings. Raises InvalidSetting for the first invalid one."""
        # The project's folder and its packages. The folder is None without a project, and in a
        # build, which contains copies of the packages.
        self.app_folder, self.app_packages = _project()
        # the worker classes that app.toml declares; None in a process that doesn't know them
        self.worker_classes = _worker_classes()
        # the worker class of this function; None in all other functions
        self.worker_class = _text("WORKER_CLASS", "") or None
        self.job_runner = _text("JOB_RUNNER", "legacy")
        self.retention_days = _integer("RETENTION_DAYS", 30)
        # the quota of an organization; 0 means no limit
        self.max_unfinished_jobs = _integer("MAX_UNFINISHED_JOBS", 0, minimum=0)
        self.has_bucket = bool(_text("BUCKET_NAME", ""))
        self.log_payloads = _flag("LOG_PAYLOADS", False)
        # whether the records of failed tasks keep their payloads
        self.keep_task_payloads = _flag("KEEP_TASK_PAYLOADS", False)
        self.traces = _flag("TRACES", False)  # whether to trace with OpenTelemetry
        # the lowest level that is logged, by the engine and by jobs
        self.log_level = _choice("POWERTOOLS_LOG_LEVEL", "INFO", _LOG_LEVELS, upper=True)
        # a local AWS, for development
        self.has_local_aws = bool(_text("AWS_ENDPOINT_URL", ""))
        self.has_local_s3 = bool(_text("AWS_ENDPOINT_URL_S3", "")) or self.has_local_aws
        # the legacy runner
        self.jobs_same_process = _flag("JOBS_SAME_PROCESS", True)
        self.jobs_sync = _flag("JOBS_SYNC", False)
        self.tasks_sync = _flag("TASKS_SYNC", False)
        self.job_timeout_seconds = _integer("JOB_TIMEOUT_SECONDS", 900)
        # whether this is a deployed stack whose API function also runs jobs and tasks
        self.api_runs_work = _flag("API_RUNS_WORK", False)
        # the lambda-async runner
        self.delay_queue_url = _text("DELAY_QUEUE_URL", "") or None
        self.on_lambda = bool(_text("AWS_LAMBDA_FUNCTION_NAME", ""))
        self.is_sam_local = _flag("AWS_SAM_LOCAL", False)  # set by SAM
        self.starts_from_snapshot = _text("AWS_LAMBDA_INITIALIZATION_TYPE", "") == "snap-start"
        # who may call the API
        self.access_mode = _choice("ACCESS_MODE", "iam", ("iam", "jwt"))
        self.jwt_organization_claim = _text("JWT_ORGANIZATION_CLAIM", "organization_id")
        self.jwt_roles_claim = _text("JWT_ROLES_CLAIM", "roles")
        self.team_name = _text("TEAM_NAME", "") or None  # for the pages on which people answer
        # the address of the API, for the URLs of answers
        self.public_url = _text("PUBLIC_URL", "").rstrip("/") or None
        # where a message announces the end of every job
        self.event_bus = _text("EVENT_BUS_NAME", "") or None  # the name of an EventBridge bus
        self.outcome_topic = _text("OUTCOME_TOPIC_ARN", "") or None  # the ARN of an SNS topic
        # whether organizations may subscribe webhooks to the ends of their jobs
        self.webhook_subscriptions = _flag("WEBHOOK_SUBSCRIPTIONS", False)
        # whether webhooks may go to this machine, which only the local AWS allows
        self.loopback_webhooks = self.has_local_aws and _flag("LOOPBACK_WEBHOOKS", False)
        # the path of the app settings in Parameter Store
        self.app_settings_path = _text("APP_SETTINGS_PATH", "").rstrip("/") or None
        # the log group with the jobs' log lines
        self.worker_log_group = _text("WORKER_LOG_GROUP_NAME", "") or None

    @cached_property
    def announces_every_end(self) -> bool:
        """Return whether the end of every job is announced, even if no webhook subscribes to it."""
        return self.event_bus is not None or self.outcome_topic is not None

    @cached_property
    def may_announce(self) -> bool:
        """Return whether the ends of some jobs may be announced."""
        return self.webhook_subscriptions or self.announces_every_end


@cache
def settings() -> Settings:
    """Return the settings of this process. The first call reads them."""
    return Settings()


def has_engine() -> bool:
    """Return whether this process may use the tables and queues itself, not only the HTTP API.

    Every process with these permissions has JOB_RUNNER.
    """
    return bool(os.environ.get("JOB_RUNNER"))


@cache
def build_id() -> str | None:
    """Return a hash of the deployed code, or None in a checkout."""
    try:
        build_hash = (_CODE / BUILD_ID_FILE).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return build_hash or None


@cache
def required(variable: str, needed_by: str) -> str:
    """Return the value of a variable. Raises MissingSetting, which names both arguments."""
    value = _text(variable, "")
    if not value:
        raise MissingSetting(variable, needed_by)
    return value


def app_setting_override(name: str) -> str | None:
    """Return the value of an app setting from the environment, or None.

    Only tests and processes without Parameter Store set app settings in the environment.
    """
    return os.environ.get(APP_SETTING + name)


def _project() -> tuple[Path | None, tuple[str, ...]]:
    test_packages = _split_names(_text(PACKAGES_VARIABLE, ""))
    try:
        built_packages = (_CODE / APP_PACKAGES_FILE).read_text(encoding="utf-8").split()
        return None, test_packages or tuple(built_packages)
    except FileNotFoundError:
        pass  # this isn't a build
    folder = project_folder()
    if folder is None:
        return None, test_packages
    if not folder.is_dir():
        value = os.environ[PROJECT_VARIABLE]
        raise InvalidSetting(PROJECT_VARIABLE, value, f"an existing folder ({folder} isn't one)")
    return folder, test_packages or packages_in(folder)


def _worker_classes() -> tuple[str, ...] | None:
    names = os.environ.get("WORKER_CLASSES")
    return None if names is None else _split_names(names)


def _split_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def project_folder() -> Path | None:
    """Return the folder that JOBS_PROJECT names, or None. The folder may not exist."""
    path = _text(PROJECT_VARIABLE, "")
    return Path(path).resolve() if path else None


def packages_in(folder: Path) -> tuple[str, ...]:
    """Return the names of the packages in a project, in alphabetical order."""
    packages = {file.parent.name for file in folder.glob("*/__init__.py")} - {APP_TESTS}
    return tuple(sorted(name for name in packages if not name.startswith(".")))


def service_name() -> str:
    """Return the name for the field `service` of log lines: in a stack, the stack's name."""
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


def _integer(variable: str, default: int, minimum: int = 1) -> int:
    value = _text(variable, str(default))
    if not value.isascii() or not value.isdigit() or int(value) < minimum:
        expected = f"a whole number above {minimum - 1}" if minimum else "a whole number"
        raise InvalidSetting(variable, value, expected)
    return int(value)


def _choice(variable: str, default: str, choices: tuple[str, ...], *, upper: bool = False) -> str:
    value = _text(variable, default)
    if upper:
        value = value.upper()
    if value not in choices:
        raise InvalidSetting(variable, value, " or ".join(choices))
    return value
