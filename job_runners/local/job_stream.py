"""Show in the terminal the addresses of a local run, and then what jobs and tasks do in it.

A line begins with the time, the job's type and its id, unless the line before is about the same
job: then it is indented. What a job's own code prints follows a bar, so that it can't look like a
line of this program:

    12:03:07 resize_photos 3f2a  started
      | 12 of 40 done
      succeeded 4.1 s
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rich.cells import chop_cells
from rich.console import Console
from rich.text import Text

from job_runners.cli.log_lines import parse_fields
from job_runners.cli.output import duration, exact_duration, plain
from job_runners.cli.stack import Stack
from job_runners.places import COMMAND

Fields = Mapping[str, Any]
_MAX_PRINTED = 200  # lines printed by jobs that one call shows, so that a flood stays readable
_MAX_LINE = 1_000  # characters of a line that are shown
# Characters of an id that are shown, which are usually enough for `job-runners show` and
# `job-runners logs`. A task's id begins with the time.
_JOB_ID_LENGTH, _TASK_ID_LENGTH = 4, 14
_LEVEL_COLORS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_BAR = "| "
_REMOVAL_NOTE = f"removes all its data. To keep the data, start with `{COMMAND} run --keep`."
_MAX_NAMES = 5  # of jobs, and of tasks


class Event(NamedTuple):
    """Something that happened to a job or task."""

    words: str  # empty for an event that isn't shown
    color: str | None = None
    begins: bool = False  # whether an attempt or invocation begins
    failed: bool = False


_HIDDEN = Event("")


def event_of(fields: Fields) -> Event | None:
    """Return the event that a log line reports, or None if the engine didn't write the line."""
    message = fields.get("message")
    if not isinstance(message, str) or message not in _EVENTS or "stream" in fields:
        return None
    marker, event = _EVENTS[message]
    is_from_engine = marker(fields) if callable(marker) else marker in fields
    if not is_from_engine:
        return None
    return event if isinstance(event, Event) else event(fields)


def _describe_acceptance(fields: Fields) -> Event:
    return Event("scheduled") if fields["status"] == "scheduled" else _HIDDEN


def _describe_claim(fields: Fields) -> Event:
    attempt, invocation = fields.get("attempt", 1), fields.get("invocation", 1)
    words = "started"
    if attempt != 1:
        words = f"started attempt {attempt}"
    elif invocation != 1:
        words = f"continues, invocation {invocation}"
    return Event(words, begins=True)


def _describe_wait(fields: Fields) -> Event:
    wait = fields["waits_for"] or {}
    if wait.get("kind") != "time":
        names = ", ".join(wait.get("names") or [str(wait.get("name"))])
        return Event(f"waits for {wait.get('kind')} {names}")
    until = datetime.fromtimestamp(wait["until"] / 1000).astimezone()
    return Event(f"sleeps until {until:%H:%M:%S} ({wait.get('name')})")


def _describe_pause(fields: Fields) -> Event:
    return Event(f"waits: {str(fields['paused']).replace('_', ' ')} is paused", "yellow")


def _describe_failure(fields: Fields) -> Event:
    return Event(f"failed {_run_time(fields)}".rstrip(), "red", failed=True)


def _describe_retry(fields: Fields) -> Event:
    when = "now" if fields["delay_s"] < 1 else f"in {duration(fields['delay_s'])}"
    return Event(f"failed, retries {when}", "yellow", failed=True)


def _describe_settlement(fields: Fields) -> Event:
    status = fields.get("status")
    words = "failed" if status == "failed" else f"lost its worker, and is {status}"
    return Event(f"{words}: {fields.get('why')}", "red", failed=True)


def _describe_cancel(fields: Fields) -> Event:
    has_ended = fields.get("status") == "canceled"
    return Event("canceled" if has_ended else "was asked to stop", "yellow")


def _run_time(fields: Fields) -> str:
    milliseconds = fields.get("run_ms")
    return "" if milliseconds is None else exact_duration(milliseconds)


def _is_logged_by(function: str) -> Callable[[Fields], bool]:
    return lambda fields: str(fields.get("location", "")).startswith(f"{function}:")


_FAILED_AGAIN = Event("has failed as others did, although this was resolved", "red", failed=True)

# For each message: a field that only the engine's line has, or a check that the engine wrote it;
# and the event, or a function that returns the event. A job's own code can log the same messages.
_EVENTS: dict[str, tuple[str | Callable[[Fields], bool], Event | Callable[[Fields], Event]]] = {
    "accepted": ("status", _describe_acceptance),
    "claimed": ("queue_wait_ms", _describe_claim),
    "invocation over": ("progress", _HIDDEN),
    "admitted": ("status", _HIDDEN),
    "released": ("status", _HIDDEN),
    "not claimed": ("why", _HIDDEN),
    "race lost": ("why", _HIDDEN),
    "answered with an existing job": ("status", _HIDDEN),
    "failure record ignored": ("job_is", _HIDDEN),
    "occurrence started": ("occurrence", _HIDDEN),
    "deleted": ("status", _HIDDEN),
    "waits": ("waits_for", _describe_wait),
    "signal": ("signal", lambda fields: Event(f"got signal {fields['signal']}")),
    "waits for capacity": (
        "status",
        lambda fields: Event(f"waits for capacity in queue {fields['queue_name']}"),
    ),
    "waits for resume": ("paused", _describe_pause),
    "succeeded": ("run_ms", lambda fields: Event(f"succeeded {_run_time(fields)}", "green")),
    "failed": ("run_ms", _describe_failure),
    "canceled": ("run_ms", lambda fields: Event(f"canceled {_run_time(fields)}", "yellow")),
    "attempt failed, will retry": ("delay_s", _describe_retry),
    "new error group": ("error_group_id", _HIDDEN),
    "resolved error group is back": ("error_group_id", _FAILED_AGAIN),
    "settled": ("status", _describe_settlement),
    "cancel": ("status", _describe_cancel),
    "queued again": ("status", Event("queued again")),
    "task accepted": (_is_logged_by("task_accepted"), _HIDDEN),
    "task redriven": (_is_logged_by("task_redriven"), _HIDDEN),
    "task done": (_is_logged_by("run_task"), Event("done", "green")),
    "task failed": (_is_logged_by("give_up_task"), _describe_failure),
}


class JobStream:
    """Shows lines of functions, and notes about the run itself. Any thread may use it."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        """With `quiet`, show only failures and notes."""
        self._console = console
        self._quiet = quiet
        self._lock = threading.Lock()
        self._speaker = ""  # the job, task or function that the last line was about
        self._printed_count = 0  # lines printed by jobs in this call
        # the tracebacks shown, each as a speaker and a hash
        self._tracebacks: set[tuple[str, int]] = set()

    def note(self, text: str) -> None:
        """Show a note about the run."""
        with self._lock:
            self._speaker = ""
            for line in _lines(text):
                self._console.print(Text(f"  {line}"))

    def show(self, lines: Sequence[tuple[str, str]]) -> None:
        """Show lines of functions, each with the function's name."""
        with self._lock:
            self._printed_count = 0
            for function, text in lines:
                self._show_line(function, text)
            if self._printed_count > _MAX_PRINTED and not self._quiet:
                self._speaker = ""
                hidden_count = self._printed_count - _MAX_PRINTED
                text = f"  {_BAR}… and {hidden_count:,} more lines"
                self._console.print(Text(text, "dim"))

    def _show_line(self, function: str, text: str) -> None:
        fields = parse_fields(text)
        if fields is None:  # such as the output of a program that a job has started
            self._show_printed(function, _head({}, function), {"message": text})
            return
        work_id = fields.get("job_id") or fields.get("task_id")
        is_unimportant = work_id is None and fields.get("level") not in _LEVEL_COLORS
        if "message" not in fields or is_unimportant:
            return  # metrics, or the log of a request or of the timer
        head = _head(fields, function)
        event = event_of(fields) if work_id else None
        if event is None:
            self._show_printed(str(work_id or function), head, fields)
        elif event.words and (event.failed or not self._quiet):
            self._show_event(str(work_id), head, event, fields)

    def _show_event(self, speaker: str, head: Text, event: Event, fields: dict[str, Any]) -> None:
        if event.begins:
            self._speaker = ""  # show the time too
        self._print(speaker, head, "", Text(_one_line(event.words), event.color or ""))
        for line in self._without_repetition(speaker, _lines(fields.get("exception"))):
            self._print(speaker, head, _BAR, Text(line))

    def _without_repetition(self, speaker: str, traceback: list[str]) -> list[str]:
        """Shorten a traceback to its error if it was already shown for the same speaker."""
        key = speaker, hash(tuple(traceback))
        if key in self._tracebacks:
            return [f"{_error_line(traceback)} (again, with the traceback above)"]
        if traceback:
            self._tracebacks.add(key)
        return traceback

    def _show_printed(self, speaker: str, head: Text, fields: dict[str, Any]) -> None:
        self._printed_count += 1
        if self._quiet or self._printed_count > _MAX_PRINTED:
            return
        level = str(fields.get("level"))
        text = _message(fields)
        if level in _LEVEL_COLORS:
            text = f"{level} {text}"
        for line in [*_lines(text), *_lines(fields.get("exception"))] or [""]:
            self._print(speaker, head, _BAR, Text(line, _LEVEL_COLORS.get(level, "")))

    def _print(self, speaker: str, head: Text, bar: str, words: Text) -> None:
        """Print words, after `head` unless the last line had the same speaker."""
        indent = Text(f"  {bar}")
        start = indent if speaker == self._speaker else head + indent
        self._speaker = speaker
        for part in self._wrap(words, start.cell_len):
            self._console.print(start + part)
            start = indent

    def _wrap(self, words: Text, indent: int) -> list[Text]:
        """Split words to fit the terminal. If it wrapped them itself, a line would lack the bar."""
        if not self._console.is_terminal or indent + words.cell_len <= self._console.width:
            return [words]
        parts = chop_cells(words.plain, max(self._console.width - indent, 1))
        return [Text(part, words.style) for part in parts]


def _head(fields: dict[str, Any], function: str) -> Text:
    """Return a line's time, and the name and the shortened id of its job or task."""
    name = fields.get("job_type") or fields.get("task_name") or function
    job, task = str(fields.get("job_id") or ""), str(fields.get("task_id") or "")
    words = _one_line(f"{name} {job[:_JOB_ID_LENGTH] or task[:_TASK_ID_LENGTH]}")
    return Text(_time(fields), "dim") + Text(f" {words}")


def _time(fields: dict[str, Any]) -> str:
    try:
        logged = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    except (KeyError, TypeError, ValueError):
        logged = datetime.now(UTC)
    return f"{logged.astimezone():%H:%M:%S}"


def _message(fields: dict[str, Any]) -> str:
    message = fields["message"]
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    return f"{text}: {fields['why']}" if isinstance(fields.get("why"), str) else text


def _lines(text: object) -> list[str]:
    """Return the lines of an untrusted text, each shortened and without control characters."""
    if not text:
        return []
    lines = plain(str(text)).expandtabs(4).split("\n")
    return [line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…" for line in lines]


def _error_line(traceback: Sequence[str]) -> str:
    """Return the line that names the error: the first unindented one after the last frame."""
    _, *after_frame = "\n".join(traceback).rpartition('\n  File "')[2].split("\n")
    return next((line for line in after_frame if not line.startswith(" ")), traceback[-1])


def _one_line(text: str) -> str:
    return " ".join(plain(text).split())


console = Console(highlight=False, soft_wrap=True)


def suggest(
    stack: Stack,
    dashboard: str,
    names: Mapping[str, Sequence[str]],
    *,
    listen: str | None,
    keeps: bool,
) -> None:
    """Show the stack's addresses, and commands to try.

    `dashboard` is its URL. `names` has the names of the project's `jobs` and `tasks`. `listen` is
    the address for containers, if there is one. `keeps` says whether the data is kept after the
    end.
    """
    port = urlsplit(stack.endpoint_url).port
    containers = f", for containers at http://{listen}:{port}" if listen else ""
    lines = f"""
  Dashboard    {dashboard} (signs your browser's requests; only for this machine)
  API          {stack.api_url}
  AWS          {stack.endpoint_url}{containers}; takes only signed requests
  Credentials  .local/env.sh, new in each run; after `. .local/env.sh` AWS clients use this AWS
  All details  .local/stack.json
  Your code    {_list_names(names)}; reloads when you save; mistakes are shown here
  Not here     IAM and the template: `{COMMAND} build` checks the template, a deploy uses both

Try, in another terminal
{_first_steps(names)}
  {COMMAND} doctor

After `. .local/env.sh` in that terminal, also try
  {_curl("execute-api")} \\
    '{stack.api_url}/jobs?organization_id=default'

Ctrl-C stops it and {"keeps its data." if keeps else _REMOVAL_NOTE}"""
    console.print(lines, markup=False)


def _list_names(names: Mapping[str, Sequence[str]]) -> str:
    """Return the first names of the jobs and tasks, and the number of the others."""
    parts = []
    for kind in ("jobs", "tasks"):
        if names[kind]:
            part = f"{kind} {', '.join(names[kind][:_MAX_NAMES])}"
            if len(names[kind]) > _MAX_NAMES:
                part += f" and {len(names[kind]) - _MAX_NAMES} more"
            parts.append(part)
    return "; ".join(parts) or "has no jobs yet"


def _first_steps(names: Mapping[str, Sequence[str]]) -> str:
    """Return commands for the first job, or for creating one."""
    if not names["jobs"]:
        return f"""\
  {COMMAND} new NAME    writes a job of your own, which is loaded at once
  {COMMAND} types"""
    return f"""\
  {COMMAND} types {names["jobs"][0]}    shows its fields, and how to dispatch it
  {COMMAND} logs ID"""


def _curl(service: str) -> str:
    """Return a curl command that signs with the credentials of env.sh."""
    user = '"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
    return f"curl -s --aws-sigv4 aws:amz:us-east-1:{service} --user {user}"
