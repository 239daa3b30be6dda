"""The settings and secrets that a stack's own work reads by name, in Parameter Store."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from job_runners.cli.problem import Exit, Problem

# What work.app_settings reads: the rule of names, and where they are.
NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
LARGEST = 4096  # bytes of a value; Parameter Store charges for larger ones


@dataclass(frozen=True)
class AppSetting:
    """One setting, without its value if that is a secret."""

    name: str
    is_secret: bool
    changed_at: str  # ISO 8601
    value: str | None

    @property
    def kind(self) -> str:
        """What it is, in a word."""
        return "secret" if self.is_secret else "setting"

    def as_json(self) -> dict[str, str | None]:
        """For a program."""
        return {
            "name": self.name,
            "type": self.kind,
            "changed_at": self.changed_at,
            "value": self.value,
        }


class AppConfig:
    """The settings of one stack. `ssm` is a client of where the stack is."""

    def __init__(self, ssm: Any, stack_name: str) -> None:
        self._ssm = ssm
        self._path = f"/{stack_name}/app"

    def all(self) -> list[AppSetting]:
        """Return every setting, by name. No secret is decrypted."""
        pages = self._ssm.get_paginator("get_parameters_by_path")
        found = [
            _read(each)
            for page in pages.paginate(Path=self._path, WithDecryption=False)
            for each in page["Parameters"]
        ]
        return sorted(found, key=lambda each: each.name)

    def set(self, name: str, value: str, *, secret: bool) -> None:
        """Write a setting over what was there. Raises Problem for a value or a change of its kind
        that can't be."""
        size = len(value.encode())
        if not size:
            raise Problem(
                f"The value of {name} is empty.",
                hint=f"To take it away: jobs config delete {name}",
            )
        if size > LARGEST:
            raise Problem(
                f"The value of {name} has {size:,} bytes, and at most {LARGEST:,} can be kept.",
                hint="Put what is larger into a bucket or Secrets Manager, and its name here.",
            )
        before = next((each for each in self.all() if each.name == name), None)
        if before and before.is_secret != secret:
            other = "secret" if secret else "setting"
            raise Problem(
                f"{name} is a {before.kind}, and can't become a {other}.",
                hint=f"Set it as it is{'' if secret else ', with --secret'}; or delete it first: "
                f"jobs config delete {name}",
            )
        self._ssm.put_parameter(
            Name=f"{self._path}/{name}",
            Value=value,
            Type="SecureString" if secret else "String",
            Overwrite=True,
        )

    def delete(self, name: str) -> None:
        """Delete a setting. Raises Problem if there is none of this name."""
        answer = self._ssm.delete_parameters(Names=[f"{self._path}/{name}"])
        if answer.get("InvalidParameters"):
            raise Problem(f"There is no setting {name}.", hint="What there is: jobs config list")


def check_name(name: str) -> None:
    """Raise Problem for what can't be a setting's name."""
    if NAME.fullmatch(name):
        return
    fit = re.sub(r"[^A-Z0-9_]", "_", name.upper())
    hint = f"As: {fit}" if NAME.fullmatch(fit) else "As: API_KEY"
    raise Problem(
        f"{name!r} can't be a name: capital letters, digits and _, at most 64, a letter first.",
        hint=hint,
        code=Exit.USAGE,
    )


def _read(parameter: Any) -> AppSetting:
    secret = parameter["Type"] == "SecureString"
    changed: datetime = parameter["LastModifiedDate"]
    return AppSetting(
        name=parameter["Name"].rsplit("/", 1)[1],
        is_secret=secret,
        changed_at=changed.isoformat(timespec="seconds"),
        value=None if secret else parameter["Value"],
    )
