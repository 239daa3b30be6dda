"""The built-in tasks: their names, functions and rules.

Each function is given as text, `module:function`. Its module is imported when the task first runs.
"""

from job_runners.shipped.tasks.names import Tasks  # noqa: F401 - for the first entry
from job_runners.work import Task

TASKS: dict[str, Task] = {
    # Tasks.NAME: Task("job_runners.shipped.tasks.name:name"),
}
