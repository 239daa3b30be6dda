"""A botocore session that starts quickly.

botocore's own session registers 120 event handlers, most of them for services that the process
never calls. It also prepares ten providers of credentials, although a Lambda function finds them
with the first. This session delays both until they are needed.

botocore also looks for each of 65 former service names in the name of every event. This session
does so only if the event's name has such a part. `make bench` measures the effect on a cold start.
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

# By a handler's position: most events have no handlers that must run before or after the others.
_REGISTER_METHODS = {
    handlers.REGISTER_FIRST: "register_first",
    handlers.REGISTER_LAST: "register_last",
}
# The folder, in the botocore of a build, with service descriptions that are reduced to the called
# operations. See job_runners/building/botocore_data.py.
CALLED = "called"
# The first parts of the services' former names.
_FORMER_NAMES = frozenset(name.partition(".")[0] for name in EVENT_ALIASES)


class _Loader(Loader):
    """Lists services without looking at all files of each service."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """Return the names of the services' folders, and of files next to them."""
        folders = [Path(path) for path in self.search_paths]
        return sorted(
            {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
        )


class Session(botocore.session.Session):
    """A botocore session that registers a service's handlers with its first client.

    It looks for credentials in the environment before it prepares any other provider.
    """

    def __init__(self) -> None:
        super().__init__(include_builtin_handlers=False)
        self._events = _EventAliaser(self._original_handler)  # type: ignore[attr-defined] # its stubs lack both
        self.register_component("event_emitter", self._events)
        self._unregistered = _handlers_by_service()
        self._register_handlers_of("")
        others = _OtherCredentials(self._create_credential_resolver)  # type: ignore[attr-defined] # its stubs lack it
        self.register_component("credential_provider", CredentialResolver([EnvProvider(), others]))
        called = Path(botocore.session.__file__).with_name(CALLED)
        self.is_reduced = called.is_dir()
        if self.is_reduced:
            self.register_component("data_loader", _Loader(extra_search_paths=[str(called)]))

    def load_everything(self) -> None:
        """Make clients with all operations of their services from now on."""
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
        """Register botocore's handlers for a service once. "" stands for all services."""
        events = self.get_component("event_emitter")
        for event, handler, *position in self._unregistered.pop(service, ()):
            method = _REGISTER_METHODS[position[0]] if position else "register"
            getattr(events, method)(event, handler)


class _EventAliaser(EventAliaser):
    """botocore's events, which map former names of services to the current ones."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # The cache stays small, because only called operations have events.
        self._alias_event_name = cache(self._current_name)

    def _current_name(self, event_name: str) -> str:
        if _FORMER_NAMES.isdisjoint(event_name.split(".")):
            return event_name
        name: str = super()._alias_event_name(event_name)  # type: ignore[misc] # its stubs lack it
        return name


class _OtherCredentials(CredentialProvider):
    """All of botocore's providers of credentials, prepared only if the environment has none."""

    METHOD = "others"

    def __init__(self, make_chain: Callable[[], CredentialResolver]) -> None:
        super().__init__()
        self._make_chain = make_chain

    def load(self) -> Any:
        """Return the first credentials found, or None."""
        return self._make_chain().load_credentials()


def _handlers_by_service() -> dict[str, list[Any]]:
    """Return botocore's handlers by service, with "" for those of all services.

    Handlers that write botocore's documentation are left out.
    """
    by_service = defaultdict(list)
    for registration in handlers.BUILTIN_HANDLERS:
        event, *parts = registration[0].split(".")
        if event != "docs":
            name = parts[0] if parts else ""
            by_service[EVENT_ALIASES.get(name, name)].append(registration)
    return by_service
