"""The hooks for SnapStart: before Lambda takes a snapshot of the process, and after each restore.

Lambda may restore a snapshot hours later, and into several processes at once. See
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

import random

from job_runners import caches
from job_runners.aws import clients, tls
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings


def register(*services: str) -> None:
    """Register the hooks if this function starts from snapshots.

    The snapshot then includes the clients of these AWS services.
    """
    if not settings().starts_from_snapshot:
        return
    import snapshot_restore_py  # part of Lambda's runtime from Python 3.12 on

    snapshot_restore_py.register_before_snapshot(before_snapshot, *services)
    snapshot_restore_py.register_after_restore(after_restore)


def before_snapshot(*services: str) -> None:
    """Import all jobs and tasks, and build models and clients.

    Without a snapshot, a process does this at its first events. Close all connections, because
    none would survive a restore.
    """
    registry().loadable()  # a job that can't be loaded is logged and doesn't affect others
    from pydantic import BaseModel  # the jobs have already loaded it

    for model in BaseModel.__subclasses__():
        model.model_rebuild()
    for service in services:
        tls.read_certificates(clients.client(service))
    clients.close_connections()


def after_restore() -> None:
    """Discard state from before the snapshot.

    Credentials may have expired, and pauses and settings may have changed. Without a new seed, all
    processes restored from one snapshot would draw the same random numbers.
    """
    random.seed()
    clients.renew_credentials()
    caches.forget_all()
