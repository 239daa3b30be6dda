"""A botocore session that starts quickly.

botocore's own session registers 120 event handlers, most of them for services that the process
never calls. It also prepares ten credential providers, although the first one finds the credentials
of a Lambda function. This session does both only when needed.

The name of an event, such as "before-call.s3", contains the name of a service. Some services have
former names, so botocore searches the name of each event for all 65 former names. This session
searches only if a part of the event's name may be one. `make bench` measures the effect on a cold
start.

A *build* is the code for the Lambda functions. In a build, botocore's descriptions of services are
*reduced* to the operations that the code calls.
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

# The methods that register a handler before or after all others. Most handlers need neither.
_REGISTER_METHODS = {
    handlers.REGISTER_FIRST: "register_first",
    handlers.REGISTER_LAST: "register_last",
}
# The folder with the reduced descriptions, inside a build's copy of botocore. See
# job_runners/building/prune.py.
REDUCED_FOLDER = "called"
_ALL_SERVICES = ""  # the key for handlers of every service
# Some former names have several parts, such as "runtime.sagemaker". These are the first parts.
_FORMER_NAMES = frozenset(name.partition(".")[0] for name in EVENT_ALIASES)


class _Loader(Loader):
    """A loader of service descriptions that lists services without opening each one's folder."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """Return the names of all services. Names of other folders and files do no harm."""
        folders = [Path(path) for path in self.search_paths]
        return sorted(
            {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
        )


class Session(botocore.session.Session):
    """A botocore session that registers a service's handlers with the service's first client.

    It prepares other credential providers only if the environment has no credentials. `is_reduced`
    is true while it has only the reduced service descriptions.
    """

    def __init__(self) -> None:
        super().__init__(include_builtin_handlers=False)
        self._events = _EventAliaser(self._original_handler)  # type: ignore[attr-defined] # botocore's stubs lack it
        self.register_component("event_emitter", self._events)
        self._unregistered_handlers = _handlers_by_service()
        self._register_handlers_of(_ALL_SERVICES)
        other_providers = _OtherProviders(self._create_credential_resolver)  # type: ignore[attr-defined] # botocore's stubs lack it
        providers = CredentialResolver([EnvProvider(), other_providers])
        self.register_component("credential_provider", providers)
        folder = Path(botocore.session.__file__).with_name(REDUCED_FOLDER)
        self.is_reduced = folder.is_dir()
        if self.is_reduced:
            self.register_component("data_loader", _Loader(extra_search_paths=[str(folder)]))

    def use_all_operations(self) -> None:
        """Make new clients support all operations of their services."""
        self.is_reduced = False
        self.register_component("data_loader", Loader())

    def create_client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a new client for a service. Register the service's handlers first."""
        name = SERVICE_NAME_ALIASES.get(service_name, service_name)
        loader = self.get_component("data_loader")
        description = loader.load_service_model(name, "service-2", api_version=None)
        self._register_handlers_of(hyphenize_service_id(description["metadata"]["serviceId"]))
        return super().create_client(service_name, *args, **kwargs)

    def _register_handlers_of(self, service: str) -> None:
        """Register botocore's handlers for a service, unless they are already registered."""
        events = self.get_component("event_emitter")
        for registration in self._unregistered_handlers.pop(service, ()):
            event, function, *position = registration
            method = _REGISTER_METHODS[position[0]] if position else "register"
            getattr(events, method)(event, function)


class _EventAliaser(EventAliaser):
    """botocore's emitter of events, which replaces former service names in the events' names."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # botocore calls this method for every event. Here, a cached function replaces it. The cache
        # stays small, because only called operations have events.
        self._alias_event_name = cache(self._current_name)

    def _current_name(self, event_name: str) -> str:
        if _FORMER_NAMES.isdisjoint(event_name.split(".")):
            return event_name
        name: str = super()._alias_event_name(event_name)  # type: ignore[misc] # botocore's stubs lack it
        return name


class _OtherProviders(CredentialProvider):
    """botocore's credential providers, prepared only if the environment has no credentials."""

    METHOD = "others"

    def __init__(self, make_resolver: Callable[[], CredentialResolver]) -> None:
        super().__init__()
        self._make_resolver = make_resolver

    def load(self) -> Any:
        """Return the first credentials found, or None."""
        return self._make_resolver().load_credentials()


def _handlers_by_service() -> dict[str, list[Any]]:
    """Return botocore's handlers, grouped by the service of their events.

    A handler is a tuple of an event's name, a function and, for some handlers, a position. Handlers
    that write botocore's documentation are left out.
    """
    by_service = defaultdict(list)
    for registration in handlers.BUILTIN_HANDLERS:
        event, *parts = registration[0].split(".")
        if event == "docs":
            continue
        service = parts[0] if parts else _ALL_SERVICES
        by_service[EVENT_ALIASES.get(service, service)].append(registration)
    return by_service
