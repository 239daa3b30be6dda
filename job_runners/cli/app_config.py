"""Read and write the settings and secrets of a stack's jobs, and the secrets that sign webhooks, in
SSM Parameter Store."""

import re
from typing import Any

from job_runners.cli.problem import Exit, Problem

# The same rule as in job_runners.work.app_settings.
NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
# The same rule as in job_runners.engine.job_data.
WEBHOOK_SECRET = re.compile(r"webhook-secrets(?:/[A-Za-z0-9_-]+){2,}")
MAX_VALUE_BYTES = 4096  # Parameter Store charges for larger values

Setting = dict[str, str | None]
_SECRET, _SETTING = "secret", "setting"


class AppConfig:
    """The settings of one stack. `ssm` is a client for the stack's account and region."""

    def __init__(self, ssm: Any, stack_name: str) -> None:
        self._ssm = ssm
        self._stack = f"/{stack_name}/"
        self._path = f"{self._stack}app/"

    def all(self) -> list[Setting]:
        """Return all settings sorted by name, without decrypting secrets.

        Each has its `name`, its `type` (`secret` or `setting`), `changed_at` in ISO 8601, and its
        `value`, which is None for a secret.
        """
        return self._settings_under("app") + self._settings_under("webhook-secrets")

    def _settings_under(self, folder: str) -> list[Setting]:
        pages = self._ssm.get_paginator("get_parameters_by_path")
        path = f"{self._stack}{folder}"
        settings = [
            _to_setting(parameter, self._setting_name(parameter["Name"]))
            for page in pages.paginate(Path=path, Recursive=True, WithDecryption=False)
            for parameter in page["Parameters"]
        ]
        return sorted(settings, key=lambda setting: str(setting["name"]))

    def _setting_name(self, parameter_name: str) -> str:
        return parameter_name.removeprefix(self._path).removeprefix(self._stack)

    def _parameter_name(self, name: str) -> str:
        if WEBHOOK_SECRET.fullmatch(name):
            return f"{self._stack}{name}"
        return f"{self._path}{name}"

    def set(self, name: str, value: str, *, secret: bool) -> None:
        """Create or overwrite a setting.

        Raises Problem for an invalid value, and if a secret would become a setting or vice versa.
        """
        size = len(value.encode())
        if not size:
            raise Problem(
                f"The value of {name} is empty.",
                hint=f"To delete the setting: job-runners config delete {name}",
            )
        if size > MAX_VALUE_BYTES:
            raise Problem(
                f"The value of {name} has {size:,} bytes. The limit is {MAX_VALUE_BYTES:,}.",
                hint="Store it in a bucket or in Secrets Manager, and its name here.",
            )
        folder = "app" if NAME.fullmatch(name) else "webhook-secrets"
        kind = _SECRET if secret else _SETTING
        settings_by_name = {setting["name"]: setting for setting in self._settings_under(folder)}
        existing = settings_by_name.get(name)
        if existing and existing["type"] != kind:
            raise Problem(
                f"{name} is a {existing['type']} and can't become a {kind}.",
                hint=f"Set it {'without' if secret else 'with'} --secret, or delete it first: "
                f"job-runners config delete {name}",
            )
        self._ssm.put_parameter(
            Name=self._parameter_name(name),
            Value=value,
            Type="SecureString" if secret else "String",
            Overwrite=True,
        )

    def delete(self, name: str) -> None:
        """Delete a setting. Raises Problem if it doesn't exist."""
        response = self._ssm.delete_parameters(Names=[self._parameter_name(name)])
        if response.get("InvalidParameters"):
            raise Problem(
                f"No setting is named {name}.",
                hint="List them with job-runners config list.",
            )


def check_name(name: str) -> None:
    """Check the name of a setting or of a webhook's secret. Raises Problem for an invalid name."""
    if NAME.fullmatch(name) or WEBHOOK_SECRET.fullmatch(name):
        return
    suggestion = re.sub(r"[^A-Z0-9_]", "_", name.upper())
    if not NAME.fullmatch(suggestion):
        suggestion = "API_KEY"
    raise Problem(
        f"{name!r} is not a valid name. A name has up to 64 capital letters, digits and _, and "
        "starts with a letter. A webhook's secret is webhook-secrets/ORGANIZATION/NAME.",
        hint=f"Write it as {suggestion}.",
        code=Exit.USAGE,
    )


def _to_setting(parameter: Any, name: str) -> Setting:
    secret = parameter["Type"] == "SecureString"
    return {
        "name": name,
        "type": _SECRET if secret else _SETTING,
        "changed_at": parameter["LastModifiedDate"].isoformat(timespec="seconds"),
        "value": None if secret else parameter["Value"],
    }
