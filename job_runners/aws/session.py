"""A botocore session that starts quickly.

botocore's own session registers 120 event handlers, most of them for services that the process
never calls. It also prepares ten credential providers, although a Lambda function finds its
credentials with the first. This session delays both until they are needed.

The name of an event, such as "before-call.s3", contains the name of a service. Some services have
former names, so botocore searches the name of every event for each of 65 former names. This session
does so only if a part of the event's name is a former name. `make bench` measures the effect on a
cold start.

In a *build*, the code for the Lambda functions, botocore's descriptions of services are *reduced*
to the operations that the code calls.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore import handlers
from botocore.credentials import CredentialProvider, CredentialResolver, EnvProvider
from botocore.hooks import EventAliaser
from botocore.loaders import Loader
from botocore.utils import EVENT_ALIASES, SERVICE_NAME_ALIASES, hyphenize_service_id

# The methods that register a handler at a position. Most handlers have no position.
_REGISTER_METHODS = {
    handlers.REGISTER_FIRST: "register_first",
    handlers.REGISTER_LAST: "register_last",
}
# The folder, inside the botocore of a build, with the reduced service descriptions. See
# job_runners/building/prune.py.
REDUCED_FOLDER = "called"
_ALL_SERVICES = ""  # stands for all services in the handlers by service
# The first parts of the services' former names.
_FORMER_NAMES = frozenset(name.partition(".")[0] for name in EVENT_ALIASES)


class _Loader(Loader):
    """Lists services without looking at all files of each service."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """Return the names of the services' folders. The names of other files do no harm."""
        folders = [Path(path) for path in self.search_paths]
        return sorted(
            {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
        )


class Session(botocore.session.Session):
    """A botocore session that registers a service's handlers when it creates the first client.

    It looks for credentials in the environment before it prepares any other provider. `is_reduced`
    is true while it only has descriptions of the operations that the code calls.
    """

    def __init__(self) -> None:
        super().__init__(include_builtin_handlers=False)
        self._events = _EventAliaser(self._original_handler)  # type: ignore[attr-defined] # botocore's stubs lack it
        self.register_component("event_emitter", self._events)
        self._unregistered = _handlers_by_service()
        self._register_handlers_of(_ALL_SERVICES)
        others = _OtherCredentials(self._create_credential_resolver)  # type: ignore[attr-defined] # botocore's stubs lack it
        self.register_component("credential_provider", CredentialResolver([EnvProvider(), others]))
        folder = Path(botocore.session.__file__).with_name(REDUCED_FOLDER)
        self.is_reduced = folder.is_dir()
        if self.is_reduced:
            self.register_component("data_loader", _Loader(extra_search_paths=[str(folder)]))

    def use_all_operations(self) -> None:
        """Give the clients that are created from now on all operations of their services."""
        self.is_reduced = False
        self.register_component("data_loader", Loader())

    def create_client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a new client for a service, as botocore does."""
        name = SERVICE_NAME_ALIASES.get(service_name, service_name)
        loader = self.get_component("data_loader")
        description = loader.load_service_model(name, "service-2", api_version=None)
        self._register_handlers_of(hyphenize_service_id(description["metadata"]["serviceId"]))
        return super().create_client(service_name, *args, **kwargs)

    def _register_handlers_of(self, service: str) -> None:
        """Register botocore's handlers for a service, unless they are registered."""
        events = self.get_component("event_emitter")
        for registration in self._unregistered.pop(service, ()):
            event, handler = registration[:2]
            method = "register"
            if len(registration) > 2:
                method = _REGISTER_METHODS[registration[2]]
            getattr(events, method)(event, handler)


class _EventAliaser(EventAliaser):
    """botocore's event emitter, which replaces former names of services in the names of events."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # botocore calls this method for every event. It is replaced by a cached one here. The cache
        # stays small, because only called operations have events.
        self._alias_event_name = cache(self._current_name)

    def _current_name(self, event_name: str) -> str:
        if _FORMER_NAMES.isdisjoint(event_name.split(".")):
            return event_name
        name: str = super()._alias_event_name(event_name)  # type: ignore[misc] # botocore's stubs lack it
        return name


class _OtherCredentials(CredentialProvider):
    """botocore's credential providers, prepared only if the environment has no credentials."""

    METHOD = "others"

    def __init__(self, make_chain: Callable[[], CredentialResolver]) -> None:
        super().__init__()
        self._make_chain = make_chain

    def load(self) -> Any:
        """Return the first credentials found, or None."""
        return self._make_chain().load_credentials()


def _handlers_by_service() -> dict[str, list[Any]]:
    """Return botocore's registrations of handlers by service, or under _ALL_SERVICES.

    A registration is a tuple of an event, a handler and, for some handlers, a position. Handlers
    that write botocore's documentation are left out.
    """
    by_service = defaultdict(list)
    for registration in handlers.BUILTIN_HANDLERS:
        event, *parts = registration[0].split(".")
        if event != "docs":
            name = parts[0] if parts else _ALL_SERVICES
            by_service[EVENT_ALIASES.get(name, name)].append(registration)
    return by_service
