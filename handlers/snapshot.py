"""SnapStart: what is done before Lambda takes a snapshot of the process, and after it goes on from
one, perhaps hours later and in several copies at once.

Lambda runs the hooks: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

import random
import sys

from aws import clients, tls
from runners import get_job_runner
from runners.registry import registry
from settings import settings

# What a process has read of the world, and goes by for a while: by module, who forgets it.
CACHES = {
    "runners.declared_schedules": "forget",
    "runners.full_queues": "forget_cache",
    "runners.quota": "forget_cache",
    "store.limits": "forget_cache",
    "store.pauses": "forget_cache",
    "store.used_keys": "forget_cache",
    "webhooks.signing_secrets": "forget",
    "work.app_settings": "forget",
}


def register(*services: str) -> None:
    """Have Lambda call the hooks, in a function that starts from snapshots. `services` are those
    that it calls: their clients will be in the snapshot."""
    if not settings().starts_from_snapshot:
        return
    import snapshot_restore_py  # of Lambda's own runtime, from Python 3.12 on

    snapshot_restore_py.register_before_snapshot(before_snapshot, *services)
    snapshot_restore_py.register_after_restore(after_restore)


def before_snapshot(*services: str) -> None:
    """Do at once what a process would do in its first events: build clients and models, import all
    work. Close connections: their other ends will be gone."""
    get_job_runner()
    registry().loaded()  # what can't be loaded is logged, and keeps no other from running
    from pydantic import BaseModel  # which the work has loaded

    for model in BaseModel.__subclasses__():
        model.model_rebuild()
    for service in services:
        tls.read_certificates(clients.client(service))
    clients.close_connections()


def after_restore() -> None:
    """Take nothing from before the snapshot for true: credentials have expired, pauses and settings
    have changed, and each copy would draw the same random numbers."""
    random.seed()
    clients.renew_credentials()
    for module, function in CACHES.items():
        if module in sys.modules:
            getattr(sys.modules[module], function)()
