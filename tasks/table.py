"""What can run as a task: each name with its function and the rules it runs under.

A function is named by its module, which is imported when the task first runs.
"""

from tasks.names import Tasks
from work import Retry, Task

# The texting campaign's: they count only while TEXTING_CAMPAIGN is true.
CAMPAIGN_TASKS = frozenset({Tasks.SEND_MESSAGE, Tasks.SEND_FIRST_MESSAGE})

TASKS: dict[str, Task] = {
    # Tried again only when surely refused: a second text to a person is worse than none.
    Tasks.SEND_MESSAGE: Task(
        "tasks.send_message:send_message", retry=Retry(max_attempts=5, interrupted=False)
    ),
    Tasks.SEND_FIRST_MESSAGE: Task(
        "tasks.send_first_message:send_first_message",
        retry=Retry(max_attempts=8, interrupted=False),
    ),
    # Receivers tell a repeated delivery by its webhook-id.
    Tasks.POST_WEBHOOK: Task("tasks.post_webhook:post_webhook", retry=Retry(max_attempts=8)),
}
