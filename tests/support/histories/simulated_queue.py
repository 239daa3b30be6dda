"""The hostile Lambda with an SQS queue in front of the worker.

The queue waits for the worker's answer. It delivers messages out of order, late and twice. If a
worker fails, its message becomes visible again and is delivered again. After a few deliveries, the
message goes to the dead-letter queue. There are no failure records.
"""

import itertools
import json
from typing import Any

import job_runners.handlers.worker
from histories.faults import Fault
from histories.hostile_lambda import HostileLambda
from histories.invocation import id_of
from job_runners.testing.simulation.invocation import Event, Message

_MOST_RECEIVES = 5
_QUEUE = "work queue"


class SimulatedQueue(HostileLambda):
    """The simulated Lambda, for histories with the SQS runner."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._receipts = (str(each) for each in itertools.count())
        self._deleted: set[str] = set()  # receipts of deleted messages

    def take_delayed(self, message: Message, delay: float) -> None:
        """Accept a message. It arrives once or twice."""
        self.sent[id_of(message)] += 1
        self._note_send(message)
        arrives_twice = self.pick("twice", 8) == 7
        for _ in range(2 if arrives_twice else 1):
            self._send(message, delay + self._delay_of("a message"))

    def take_off_queue(self, receipt: str) -> None:
        """Delete the message of this delivery."""
        self._deleted.add(receipt)

    def _send(
        self, message: Message, delay: float, receives: int = 1, *, was_delivered: bool = False
    ) -> None:
        """Schedule delivery number `receives` of a message.

        `was_delivered` says whether a worker has received the message before."""
        body = {"requestPayload": message, "receives": receives, "was_delivered": was_delivered}
        self._add(_QUEUE, body, delay)

    def _deliver(self, event: Event) -> None:
        if event.function == _QUEUE:
            self._receive(event)
        else:
            super()._deliver(event)

    def _receive(self, event: Event) -> None:
        message, receives = event.message, event.body["receives"]
        was_delivered = event.body["was_delivered"]
        # A delivery without a free worker counts as received too.
        if not self.fault(Fault.NOT_LOADED, "no worker is free", 20):
            receipt = next(self._receipts)
            if not was_delivered:  # only the first delivery to a worker may run a task
                self.on_delivery(message)
            was_delivered = True
            failure = self._invoke("worker", _batch(message, receives, receipt), _handle, 60, event)
            has_failed = failure is not None or self._has_batch_failures
            if receipt in self._deleted:
                if has_failed:
                    self.on_loss(message)  # it is deleted, so it isn't delivered again
                return
            if not has_failed and self.pick("again", 12) != 11:
                return  # otherwise the message is delivered again, although the worker succeeded
        if receives >= _MOST_RECEIVES and not self.is_harmless:
            self.on_loss(message)
        else:
            self._send(
                message, self._worker_timeout + 10, receives + 1, was_delivered=was_delivered
            )


def _batch(message: Message, receives: int, receipt: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "aws:sqs",
                "messageId": "m",
                "receiptHandle": receipt,
                "body": json.dumps(message),
                "attributes": {"ApproximateReceiveCount": str(receives)},
            }
        ]
    }


def _handle(event: Any, context: Any) -> Any:
    return job_runners.handlers.worker.handler(event, context)
