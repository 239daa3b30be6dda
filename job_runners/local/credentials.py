"""The credentials of the local AWS. Each run creates new ones."""

import secrets
from dataclasses import dataclass, field

from job_runners.cli.stack import Stack


@dataclass(frozen=True)
class Credentials:
    """An access key and its secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @staticmethod
    def random() -> "Credentials":
        """Return new credentials that can't be guessed."""
        return Credentials(f"LOCAL{secrets.token_hex(8).upper()}", secrets.token_hex(20))

    @property
    def variables(self) -> dict[str, str]:
        """The credentials as environment variables, which every AWS tool reads."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }


def credentials(stack: Stack) -> Credentials:
    """Return the credentials of a stack on the local AWS."""
    return Credentials(stack.aws_access_key_id, stack.aws_secret_access_key)
