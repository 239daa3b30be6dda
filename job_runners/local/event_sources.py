"""Call the local functions as EventBridge and SQS do: the timer by a schedule, others by queues."""

import asyncio
import time
from typing import Any

from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.local import services
from job_runners.local.function_pools import Functions
from job_runners.local.function_settings import DELAY, FAILURES, FunctionSettings

_POLL_SECONDS = 0.1


async def run_timer(functions: Functions) -> None:
    """Run the timer at once, and at each full minute."""
    while True:
        minute = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime())
        functions.send("timer", {"time": minute})
        await asyncio.sleep(60 - time.time() % 60)


def start_pollers(settings: FunctionSettings, functions: Functions) -> list["asyncio.Task[None]"]:
    """Start a task for each queue that calls a function, and return the tasks."""
    function_of_queue = {DELAY: "timer", FAILURES: "failures"}
    if work_queue := settings.parameter("WorkQueueName"):
        function_of_queue[work_queue] = "worker"
    return [
        asyncio.create_task(_poll(functions, queue, function))
        for queue, function in function_of_queue.items()
    ]


async def _poll(functions: Functions, queue: str, function: str) -> None:
    """Pass the messages of a queue to a function, in batches of ten."""
    while True:
        started_at = time.monotonic()
        messages = services.receive(queue)
        if messages:
            await _deliver(functions, queue, function, messages)
        else:
            # Searching thousands of delayed messages takes long, so search less often.
            await asyncio.sleep(max(_POLL_SECONDS, 20 * (time.monotonic() - started_at)))


async def _deliver(functions: Functions, queue: str, function: str, messages: list[Any]) -> None:
    """Pass a batch to a function. Messages that it doesn't accept go back to the queue."""
    records = [_record(queue, message) for message in messages]
    reply = await functions.invoke(function, {"Records": records})
    if "errorType" in reply:
        return
    failures = (reply["result"] or {}).get("batchItemFailures", [])
    failed_ids = {failure["itemIdentifier"] for failure in failures}
    for message in messages:
        if message.id not in failed_ids:
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
