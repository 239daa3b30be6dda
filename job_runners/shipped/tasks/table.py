"""The definitions of the built-in tasks. There are none yet.

A function is named as `module:function`, so that its module is imported only when the task runs.
"""

from job_runners.shipped.tasks.names import Tasks  # noqa: F401 - for the first definition
from job_runners.work import Task

TASKS: dict[str, Task] = {
    # Tasks.NAME: Task("job_runners.shipped.tasks.name:name"),
}
