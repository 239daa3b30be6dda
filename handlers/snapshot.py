"""SnapStart hooks: run before Lambda takes a snapshot of the process, and after each restore.

A restore may happen hours later, and in several copies at once. Lambda calls the hooks:
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

import random
import sys

from aws import clients, tls
from runners import get_job_runner
from runners.registry import registry
from settings import settings

# The caches of a process: the function that clears each, by module.
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
    """Register the hooks in a function that starts from snapshots. The snapshot includes the
    clients of these AWS services."""
    if not settings().starts_from_snapshot:
        return
    import snapshot_restore_py  # part of Lambda's runtime from Python 3.12 on

    snapshot_restore_py.register_before_snapshot(before_snapshot, *services)
    snapshot_restore_py.register_after_restore(after_restore)


def before_snapshot(*services: str) -> None:
    """Do the work of a process's first events now: build clients and models, and import all jobs
    and tasks. Close connections, because the other ends will be gone after a restore."""
    get_job_runner()
    registry().loaded()  # a job that can't be loaded is logged and doesn't affect others
    from pydantic import BaseModel  # the jobs have already loaded it

    for model in BaseModel.__subclasses__():
        model.model_rebuild()
    for service in services:
        tls.read_certificates(clients.client(service))
    clients.close_connections()


def after_restore() -> None:
    """Discard state from before the snapshot: credentials may have expired, pauses and settings may
    have changed, and all copies would draw the same random numbers."""
    random.seed()
    clients.renew_credentials()
    for module, function in CACHES.items():
        if module in sys.modules:
            getattr(sys.modules[module], function)()
