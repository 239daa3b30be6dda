"""Read and write a stack's settings in SSM Parameter Store.

A setting may be a secret, which is stored encrypted. The secrets that sign webhooks are in a folder
of their own.
"""

import re
from typing import Any

from job_runners.cli.problem import Exit, Problem

NAME_PATTERN = re.compile(r"[A-Z][A-Z0-9_]{0,63}")  # as in job_runners.work.app_settings
# As in job_runners.engine.job_data.
WEBHOOK_SECRET_PATTERN = re.compile(r"webhook-secrets(?:/[A-Za-z0-9_-]+){2,}")
MAX_VALUE_BYTES = 4096  # Parameter Store charges for larger values

Setting = dict[str, str | None]
"""`name`, `type` ("secret" or "setting"), `changed_at` (ISO 8601), and `value` (None for a secret).
"""


class AppConfig:
    """The settings of one stack. `ssm` is a client for the stack's account and region."""

    def __init__(self, ssm: Any, stack_name: str) -> None:
        self._ssm = ssm
        self._root = f"/{stack_name}/"

    def all(self) -> list[Setting]:
        """Return all settings, and then the webhook secrets. Secrets stay encrypted."""
        return self._settings_in("app") + self._settings_in("webhook-secrets")

    def _settings_in(self, folder: str) -> list[Setting]:
        paginator = self._ssm.get_paginator("get_parameters_by_path")
        path = f"{self._root}{folder}"
        settings = [
            _to_setting(parameter, self._setting_name(parameter["Name"]))
            for page in paginator.paginate(Path=path, Recursive=True, WithDecryption=False)
            for parameter in page["Parameters"]
        ]
        return sorted(settings, key=lambda setting: str(setting["name"]))

    def _setting_name(self, parameter_name: str) -> str:
        # The name of a webhook's secret includes webhook-secrets/. Other names have no folder.
        return parameter_name.removeprefix(self._root).removeprefix("app/")

    def _parameter_name(self, setting_name: str) -> str:
        if WEBHOOK_SECRET_PATTERN.fullmatch(setting_name):
            return f"{self._root}{setting_name}"
        return f"{self._root}app/{setting_name}"

    def set(self, name: str, value: str, *, secret: bool) -> None:
        """Create or overwrite a setting.

        Raises Problem for an invalid value, or if the setting exists with the other type.
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
        folder = "app" if NAME_PATTERN.fullmatch(name) else "webhook-secrets"
        settings_by_name = {setting["name"]: setting for setting in self._settings_in(folder)}
        existing = settings_by_name.get(name)
        if existing and existing["type"] != _type_name(secret):
            option = "with --secret" if existing["type"] == "secret" else "without --secret"
            raise Problem(
                f"{name} is a {existing['type']} and can't become a {_type_name(secret)}.",
                hint=f"Set it {option}, or delete it first: job-runners config delete {name}",
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
    """Raise Problem unless this is a valid name of a setting or of a webhook's secret."""
    if NAME_PATTERN.fullmatch(name) or WEBHOOK_SECRET_PATTERN.fullmatch(name):
        return
    suggestion = re.sub(r"[^A-Z0-9_]", "_", name.upper())
    if not NAME_PATTERN.fullmatch(suggestion):
        suggestion = "API_KEY"  # any valid name
    raise Problem(
        f"{name!r} is not a valid name. A name has up to 64 capital letters, digits and _, and "
        "starts with a letter. A webhook's secret is webhook-secrets/ORGANIZATION/NAME.",
        hint=f"Write it as {suggestion}.",
        code=Exit.USAGE,
    )


def _to_setting(parameter: Any, name: str) -> Setting:
    is_secret = parameter["Type"] == "SecureString"
    return {
        "name": name,
        "type": _type_name(is_secret),
        "changed_at": parameter["LastModifiedDate"].isoformat(timespec="seconds"),
        "value": None if is_secret else parameter["Value"],
    }


def _type_name(is_secret: bool) -> str:
    return "secret" if is_secret else "setting"
