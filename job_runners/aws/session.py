"""A botocore session that starts quickly.

botocore's own session registers 120 event handlers, most of them for services that a process never
calls. It also prepares a chain of ten places to look for credentials, although a Lambda function
finds them in the first. This session delays both until they are needed.

botocore also compares the name of each event with all 65 former names of services. This session
does so only for events that may have a former name. `make bench` measures the effect on a cold
start.
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

# Some handlers of an event must run before its others, and some after them.
_REGISTER = {
    handlers.REGISTER_FIRST: "register_first",
    handlers.REGISTER_LAST: "register_last",
}
# The folder in a built botocore with descriptions of services that are reduced to what our code
# calls. See job_runners/building/botocore_data.py.
CALLED = "called"
# The services' former names, each up to the first dot.
_FORMER_NAMES = frozenset(name.partition(".")[0] for name in EVENT_ALIASES)


class _Loader(Loader):
    """Lists services without a look at all files of each service."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """Return the names of the folders with services, and of files next to them."""
        folders = [Path(each) for each in self.search_paths]
        return sorted({path.name for each in folders if each.is_dir() for path in each.iterdir()})


class Session(botocore.session.Session):
    """A botocore session that registers a service's handlers with its first client.

    It looks for credentials in the environment before it prepares any other place.
    """

    def __init__(self) -> None:
        super().__init__(include_builtin_handlers=False)
        self._events = _Events(self._original_handler)  # type: ignore[attr-defined] # its stubs lack both
        self.register_component("event_emitter", self._events)
        self._waiting = _by_service()
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

    def create_client(self, service_name: str, *given: Any, **named: Any) -> Any:
        """Return a new client for a service, as botocore does."""
        name = SERVICE_NAME_ALIASES.get(service_name, service_name)
        loader = self.get_component("data_loader")
        described = loader.load_service_model(name, "service-2", api_version=None)
        self._register_handlers_of(hyphenize_service_id(described["metadata"]["serviceId"]))
        return super().create_client(service_name, *given, **named)

    def _register_handlers_of(self, service: str) -> None:
        """Register botocore's handlers for a service once. "" stands for all services."""
        events = self.get_component("event_emitter")
        for event, handler, *place in self._waiting.pop(service, ()):
            getattr(events, _REGISTER[place[0]] if place else "register")(event, handler)


class _Events(EventAliaser):
    """botocore's events, which map former names of services to the present ones."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        # There are only as many events as operations that are called.
        self._alias_event_name = cache(self._present_name)

    def _present_name(self, event_name: str) -> str:
        if _FORMER_NAMES.isdisjoint(event_name.split(".")):
            return event_name
        name: str = super()._alias_event_name(event_name)  # type: ignore[misc] # its stubs lack it
        return name


class _OtherCredentials(CredentialProvider):
    """All of botocore's places for credentials, prepared only if the environment has none."""

    METHOD = "others"

    def __init__(self, make_chain: Callable[[], CredentialResolver]) -> None:
        super().__init__()
        self._make_chain = make_chain

    def load(self) -> Any:
        """Return the first credentials found, or None."""
        return self._make_chain().load_credentials()


def _by_service() -> dict[str, list[Any]]:
    """Return botocore's handlers by service, with "" for those of all services.

    Handlers that write botocore's documentation are left out.
    """
    found = defaultdict(list)
    for each in handlers.BUILTIN_HANDLERS:
        event, *parts = each[0].split(".")
        if event != "docs":
            name = parts[0] if parts else ""
            found[EVENT_ALIASES.get(name, name)].append(each)
    return found
