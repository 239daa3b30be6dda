"""The built-in tasks: their names, functions and rules.

Each function is given as text, `module:function`. Its module is imported when the task first runs.
"""

from job_runners.shipped.tasks.names import Tasks
from job_runners.work import Retry, Task

# The tasks of the texting campaign, which exist only while TEXTING_CAMPAIGN is true.
CAMPAIGN_TASKS = frozenset({Tasks.SEND_MESSAGE, Tasks.SEND_FIRST_MESSAGE})

TASKS: dict[str, Task] = {
    # Only a text that SNS certainly refused is sent again: a second text is worse than none.
    Tasks.SEND_MESSAGE: Task(
        "job_runners.shipped.tasks.send_message:send_message",
        retry=Retry(max_attempts=5, interrupted=False),
    ),
    Tasks.SEND_FIRST_MESSAGE: Task(
        "job_runners.shipped.tasks.send_first_message:send_first_message",
        retry=Retry(max_attempts=8, interrupted=False),
    ),
    # Receivers recognize a repeated delivery by its webhook-id.
    Tasks.POST_WEBHOOK: Task(
        "job_runners.shipped.tasks.post_webhook:post_webhook", retry=Retry(max_attempts=8)
    ),
}
