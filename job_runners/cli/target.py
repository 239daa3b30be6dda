"""Find the stack, the credentials and the organization for a command.

Slow modules, such as botocore, are imported only in the methods that need them, so that other
commands start faster.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from job_runners.cli import local_aws
from job_runners.cli.local_aws import REGION
from job_runners.cli.output import plain_json
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.stack import Stack
from job_runners.places import ROOT

if TYPE_CHECKING:
    from botocore.session import Session

    from job_runners.cli.api import Api
    from job_runners.client.credentials import Credentials
    from job_runners.client.from_json import FromJson
    from job_runners.client.signing import Access


_MAX_ATTEMPTS = 3  # for an API call that can safely be repeated


@dataclass
class Target:
    """The values of the shared options, and the stack, credentials and API that they select."""

    stack_name: str | None = None
    local: bool = False
    api_url: str | None = None
    token: str | None = None
    region: str | None = None
    profile: str | None = None
    organization: str | None = None
    json: bool = False
    api_timeout: float = 35  # seconds; API Gateway itself times out after 30
    explicit: set[str] = field(default_factory=set)  # options that the command line names

    def set_option(self, name: str, value: Any, *, explicit: bool) -> None:
        """Set an option. The command line (`explicit`) takes precedence over the environment."""
        if value is not None and (explicit or name not in self.explicit):
            setattr(self, name, value)
            if explicit:
                self.explicit.add(name)

    @property
    def organization_id(self) -> str | None:
        """The organization to act for. None means that the token names the organization."""
        return self.organization or (None if self.token else "default")

    @property
    def organization_in_words(self) -> str:
        """The organization, for use in a sentence."""
        if self.organization_id is None:
            return "your organization"
        return f"organization {self.organization_id}"

    @cached_property
    def api(self) -> "Api":
        """The client of the stack's API."""
        from job_runners.cli.api import Api

        return Api(
            is_local=not self.uses_api_url and self.stack.is_local,
            url=self.api_address,
            token=self.token,
            credentials=None if self.token else self._credentials,
            region=None if self.token else self._region,
            organization_id=self.organization_id,
            timeout=self.api_timeout,
            max_attempts=_MAX_ATTEMPTS,
        )

    def printable(self, value: "FromJson") -> dict[str, Any]:
        """Return the JSON of a value from the API.

        Unless the output is JSON, replace characters that could control the terminal.
        """
        return dict(value.raw if self.json else plain_json(value.raw))

    @cached_property
    def access(self) -> "Access":
        """The object that authorizes calls to the API, with a token or with AWS signatures."""
        from job_runners.client.signing import Bearer, Signer

        if self.token:
            return Bearer(self.token)
        return Signer(self._credentials, self._region)

    @cached_property
    def _api_session(self) -> "Session":
        """The botocore session with the credentials and region for the API."""
        return self.session if self.uses_api_url else self.stack_session

    @property
    def _region(self) -> str:
        from botocore.exceptions import NoRegionError

        configured = self._api_session.get_config_variable("region")
        region: str | None = configured if self.uses_api_url else self.stack.region
        if region is None:
            raise NoRegionError
        return region

    @cached_property
    def _credentials(self) -> "Callable[[], Credentials]":
        from botocore.exceptions import NoCredentialsError

        from job_runners.client.credentials import of_botocore

        credentials = self._api_session.get_credentials()
        if credentials is None:
            raise NoCredentialsError

        return lambda: of_botocore(credentials)

    @cached_property
    def api_address(self) -> str:
        """The URL of the API, which either the user named or the stack has."""
        url = self.api_url if self.uses_api_url else self.stack.api_url
        return _check_url(url or "")

    @property
    def uses_api_url(self) -> bool:
        """Whether the user named the API's URL, so that its stack is unknown."""
        if "api_url" in self.explicit:
            return bool(self.api_url)
        # A stack on the command line takes precedence over a URL in the environment.
        names_stack = self.local or "stack_name" in self.explicit
        return bool(self.api_url) and not names_stack

    @cached_property
    def stack(self) -> Stack:
        """The selected stack. Raises Problem if it can't be found.

        Without a stack's name, a running local AWS takes precedence over the stack in
        samconfig.toml.
        """
        local_stack = local_aws.running_stack()
        if local_stack and self._selects(local_stack):
            return local_stack
        if self._named_stack is None and local_aws.is_starting():
            raise Problem(
                "The local AWS is starting, or stopping.",
                hint="Try again when job-runners run shows its address. To use a stack on "
                "AWS, pass --stack NAME.",
                code=Exit.NO_ANSWER,
            )
        if self.local:
            raise Problem(
                "No local AWS is running.",
                hint="Start it with job-runners run.",
                code=Exit.NO_ACCESS,
            )
        from job_runners.cli.cloudformation import find_stack

        return find_stack(self.session, self._named_stack or _default_name())

    def _selects(self, local_stack: Stack) -> bool:
        """Return whether the options select the local AWS. Call this only if it is running."""
        if self._named_stack is None:
            return True
        environment_selects_it = local_stack.endpoint_url == local_aws.endpoint_url()
        return environment_selects_it and local_stack.name == self._named_stack

    @property
    def _named_stack(self) -> str | None:
        return None if self.local else self.stack_name

    @cached_property
    def name(self) -> str:
        """The API's URL or the stack, for use in a sentence."""
        if self.uses_api_url:
            return self.api_url or ""
        return self.stack_in_words

    @property
    def stack_in_words(self) -> str:
        """The stack, for use in a sentence, in commands that don't use the API."""
        return "the local AWS" if self.stack.is_local else f"stack {self.stack.name}"

    @cached_property
    def session(self) -> "Session":
        """The botocore session with the credentials and region that other AWS tools use too."""
        # boto3's session would double the import time.
        from botocore.session import Session

        session = Session(profile=self.profile)
        if self.region:
            session.set_config_variable("region", self.region)
        return session

    @cached_property
    def stack_session(self) -> "Session":
        """The botocore session with the credentials and region for the stack."""
        if not self.stack.aws_access_key_id:  # it isn't the stack of the running local AWS
            return self.session
        from botocore.session import Session

        session = Session()
        session.set_credentials(self.stack.aws_access_key_id, self.stack.aws_secret_access_key)
        session.set_config_variable("region", REGION)
        return session

    def client(self, service: str) -> Any:
        """Return a client of an AWS service in the stack's account and region."""
        endpoint = self.stack.endpoint_url or None
        return self.stack_session.create_client(service, endpoint_url=endpoint)


def _check_url(url: str) -> str:
    from job_runners.client.addresses import check_url
    from job_runners.client.errors import ConfigurationError, InsecureAddress

    try:
        return check_url(url)
    except ConfigurationError as error:
        code = Exit.NO_ACCESS if isinstance(error, InsecureAddress) else Exit.USAGE
        raise Problem(error.problem, hint=error.hint, code=code) from None


def configured_name() -> str | None:
    """Return the stack name in samconfig.toml, which `sam deploy` also uses, if it has one."""
    try:
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())
        name: str = config["default"]["global"]["parameters"]["stack_name"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None
    return name


def _default_name() -> str:
    name = configured_name()
    if name is None:
        raise Problem(
            "No stack is selected: no samconfig.toml names one.",
            hint="Pass --stack NAME, or set JOB_RUNNERS_STACK. To use the local AWS, change to the "
            "folder in which you started job-runners run.",
        )
    return name
