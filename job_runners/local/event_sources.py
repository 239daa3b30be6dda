"""The timer's schedule, and the queues that functions read."""

import asyncio
import time
from typing import Any

from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.local import services
from job_runners.local.function_pools import Functions
from job_runners.local.function_settings import DELAY, FAILURES, FunctionSettings

_POLL_SECONDS = 0.1


async def tick(functions: Functions) -> None:
    """Run the timer at once, and at each full minute."""
    while True:
        stamp = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime())
        functions.send("timer", {"time": stamp})
        await asyncio.sleep(60 - time.time() % 60)


def pollers(settings: FunctionSettings, functions: Functions) -> list["asyncio.Task[None]"]:
    """Start the tasks that read the queues of the template's event sources."""
    sources = {DELAY: "timer", FAILURES: "failures"}
    if queue := settings.parameter("WorkQueueName"):
        sources[queue] = "worker"
    return [asyncio.create_task(_poll(functions, *source)) for source in sources.items()]


async def _poll(functions: Functions, queue: str, function: str) -> None:
    """Pass the messages of a queue to a function, in batches of ten."""
    while True:
        began = time.monotonic()
        messages = services.receive(queue)
        if messages:
            await _deliver(functions, queue, function, messages)
        else:  # a look at thousands of messages takes time
            await asyncio.sleep(max(_POLL_SECONDS, 20 * (time.monotonic() - began)))


async def _deliver(functions: Functions, queue: str, function: str, messages: list[Any]) -> None:
    """Pass a batch to a function. Messages that it doesn't accept go back to the queue."""
    reply = await functions.invoke(function, {"Records": [_record(queue, m) for m in messages]})
    if "errorType" in reply:
        return
    failed = {
        each["itemIdentifier"] for each in (reply["result"] or {}).get("batchItemFailures", [])
    }
    for message in messages:
        if message.id not in failed:
            services.delete(queue, message)


def _record(queue: str, message: Any) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.approximate_receive_count)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "awsRegion": REGION,
    }
