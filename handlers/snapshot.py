"""SnapStart hooks: run before Lambda takes a snapshot of the process, and after each restore.

Lambda may restore a snapshot hours later, and into several processes at once. See
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

import random
import sys

from job_runners.aws import clients, tls
from job_runners.engine.registry.registry import registry
from job_runners.runners import get_job_runner
from job_runners.settings import settings

# The modules that have a cache, each with the name of the function that clears it.
CACHES = {
    "job_runners.engine.schedules.declared_schedules": "forget",
    "job_runners.engine.dispatch.full_queues": "forget_cache",
    "job_runners.engine.dispatch.quota": "forget_cache",
    "job_runners.engine.running.failure_groups": "forget",
    "job_runners.store.limits": "forget_cache",
    "job_runners.store.pauses": "forget_cache",
    "job_runners.store.used_keys": "forget_cache",
    "job_runners.store.webhooks": "forget_cache",
    "job_runners.shipped.webhooks.signing_secrets": "forget",
    "job_runners.work.app_settings": "forget",
}


def register(*services: str) -> None:
    """Register the hooks if this function starts from snapshots. The snapshot then includes the
    clients of these AWS services."""
    if not settings().starts_from_snapshot:
        return
    import snapshot_restore_py  # part of Lambda's runtime from Python 3.12 on

    snapshot_restore_py.register_before_snapshot(before_snapshot, *services)
    snapshot_restore_py.register_after_restore(after_restore)


def before_snapshot(*services: str) -> None:
    """Build clients and models, and import all jobs and tasks. Without a snapshot, a process does
    this at its first events. Close connections, because none of them survives a restore."""
    get_job_runner()
    registry().loaded()  # a job that can't be loaded is logged and doesn't affect others
    from pydantic import BaseModel  # the jobs have already loaded it

    for model in BaseModel.__subclasses__():
        model.model_rebuild()
    for service in services:
        tls.read_certificates(clients.client(service))
    clients.close_connections()


def after_restore() -> None:
    """Discard state from before the snapshot. Credentials may have expired, and pauses and settings
    may have changed. Without a new seed, all copies would draw the same random numbers."""
    random.seed()
    clients.renew_credentials()
    for module, function in CACHES.items():
        if module in sys.modules:
            getattr(sys.modules[module], function)()
