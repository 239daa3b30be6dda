"""The commands about queues: who uses them, how many wait, and what limits them."""

import json
from typing import Any

import pytest

from job_runners.cli.limiting import DEFAULT_MAX_WAITING
from job_runners.store.limits import Limits
from jobs_command import ID, FakeApi, Terminal, job, jobs

WORDS = "3 slots, at most 10,000 waiting"
LIMITS = {
    "slots": 3,
    "rate": None,
    "per": None,
    "order": "fifo",
    "max_waiting": 10000,
    "words": WORDS,
}
RATE = {"count": 30, "seconds": 60.0, "burst": 5}
SINCE = "2026-11-24T12:00:00.000Z"
KEY = {
    "key": "*",
    "slots_in_use": 2,
    "holders": [{"job_id": ID, "organization_id": "acme\x9b", "since": SINCE}],
    "waiting": 12,
    "more_waiting": False,
    "oldest_waiting_since": SINCE,
    "last_started_at": SINCE,
    "next_start_at": None,
}
BACKLOG: dict[str, Any] = {
    "jobs": [
        {
            "queue_name": "quiet",
            "job_type": "mail_all",
            "waiting": 900,
            "running": 2,
            "oldest_waiting_since": SINCE,
            "oldest_waiting_id": ID,
            "last_started_at": "2026-11-24T11:00:00.000Z",
        },
        {
            "queue_name": "quiet",
            "job_type": "idle",
            "waiting": 0,
            "running": 0,
            "oldest_waiting_since": None,
            "oldest_waiting_id": None,
            "last_started_at": SINCE,
        },
    ],
    "more": True,
}
PAUSED = {"kind": "queue", "name": "x", "paused_at": SINCE, "paused_by": "service:ada"}


def queue(name: str = "imports", **changes: Any) -> dict[str, Any]:
    """Return a queue as the API shows it."""
    return {
        "name": name,
        "limits": LIMITS,
        "declared_limits": None,
        "changed_at": None,
        "changed_by": None,
        "paused": None,
        "keys": [KEY],
        "keys_cursor": None,
        **changes,
    }


def limits(name: str, **changes: Any) -> dict[str, Any]:
    """Return a queue's limits as the API shows them when they are changed."""
    whole = queue(name, changed_at=SINCE, changed_by="service:ada", **changes)
    return {each: whole[each] for each in whole if each not in ("paused", "keys", "keys_cursor")}


# --- job-runners queues ----------------------------------------------------------------------


def test_queues_in_a_pipe_are_a_line_for_each_key_with_tabs(api: FakeApi) -> None:
    crowded = {**KEY, "key": "a\x9bb", "slots_in_use": 0, "waiting": 1000, "more_waiting": True}
    rated = {**LIMITS, "slots": None, "rate": RATE, "per": "organization_id, text"}
    held = {**PAUSED, "waiting": 7, "more_waiting": False, "oldest_waiting_since": SINCE}
    listed = [
        queue("imports", changed_at=SINCE),
        queue("mails", limits=rated, keys=[crowded], keys_cursor="x"),
        queue("quiet", limits=None, keys=[], paused=held),
        queue("empty", limits=None, keys=[], paused={**held, "waiting": 0}),
    ]
    api.on("GET", "/queues?limit=100", 200, {"queues": listed, "cursor": None})
    api.on("GET", "/backlog", 200, BACKLOG)
    lines = [line.split("\t") for line in jobs("queues").stdout.splitlines()]
    assert lines == [
        [
            "imports",
            "*",
            "2 of 3",
            "12",
            SINCE,
            SINCE,
            f"changed {SINCE}",
            WORDS,
        ],
        ["mails", "a\ufffdb", "0", "at least 1000", SINCE, SINCE, "", WORDS],
        ["mails", "and more", "", "", "", "", "job-runners queues show mails", ""],
        [
            "quiet",
            "mail_all",
            "at least 2",
            "at least 900",
            SINCE,
            "2026-11-24T11:00:00.000Z",
            f"paused {SINCE}, 7 wait",
            "none",
        ],
        ["empty", "", "", "", "", "", f"paused {SINCE}", "none"],
    ]
    assert "Only 1,000 were counted" in jobs("queues").stderr
    assert json.loads(jobs("queues", "--json").stdout) == {"queues": listed, "backlog": BACKLOG}


def test_a_queue_with_limits_counts_its_jobs_that_no_worker_has_met(api: FakeApi) -> None:
    api.on("GET", "/queues?limit=100", 200, {"queues": [queue("quiet")], "cursor": None})
    running = {**BACKLOG["jobs"][0], "job_type": "its slots count it", "waiting": 0}
    api.on("GET", "/backlog", 200, {"jobs": [*BACKLOG["jobs"], running], "more": True})
    lines = [line.split("\t")[:5] for line in jobs("queues").stdout.splitlines()]
    assert lines == [
        ["quiet", "*", "2 of 3", "12", SINCE],
        ["quiet", "mail_all", "", "at least 900", SINCE],
    ]


def test_queues_on_a_terminal_have_heads(api: FakeApi) -> None:
    api.on("GET", "/queues?limit=100", 200, {"queues": [queue()], "cursor": None})
    api.on("GET", "/backlog", 200, {"jobs": [], "more": False})
    terminal = Terminal("queues")
    assert terminal.end() == 0
    heads = ("QUEUE", "KEY", "IN USE", "WAITING", "OLDEST WAIT", "LAST START", "LIMITS")
    assert all(head in terminal.text for head in heads)


def test_one_queue_is_shown_with_all_its_keys_and_who_has_its_slots(api: FakeApi) -> None:
    shown = queue(
        changed_at=SINCE,
        changed_by="service:ada",
        declared_limits={**LIMITS, "slots": 1, "words": "1 slot"},
    )
    api.on("GET", "/queues/imports", 200, shown)
    api.on("GET", "/queues/imports?limit=100", 200, queue(keys=[KEY], keys_cursor="next"))
    api.on("GET", "/backlog", 200, BACKLOG)
    other = {**KEY, "key": "z", "waiting": 0, "holders": [], "next_start_at": SINCE}
    api.on("GET", "/queues/imports?limit=100&cursor=next", 200, queue(keys=[other]))
    lines = [
        " ".join(line.split()) for line in jobs("queues", "show", "imports").stdout.splitlines()
    ]
    for line in (
        f"limits {WORDS}",
        "in code 1 slot",
        f"changed {SINCE} by service:ada",
        f"waiting 12, since {SINCE}",
        f"in use by {ID} acme\ufffd {SINCE}",
        "z",
        "waiting 0",
        f"next start {SINCE}",
    ):
        assert line in lines
    found = json.loads(jobs("queues", "show", "imports", "--json").stdout)
    assert [each["key"] for each in found["keys"]] == ["*", "z"]
    assert found["backlog"] == {"jobs": [], "more": True}
    assert "mail_all" not in lines


@pytest.mark.parametrize(("more", "words"), [(True, "at least 900"), (False, "900")])
def test_one_queue_is_shown_with_its_jobs_that_no_worker_has_met(
    api: FakeApi, more: bool, words: str
) -> None:
    for path in ("/queues/quiet", "/queues/quiet?limit=100"):
        api.on("GET", path, 200, queue("quiet", keys=[{**KEY, "waiting": 0}]))
    api.on("GET", "/backlog", 200, {**BACKLOG, "more": more})
    shown = [" ".join(line.split()) for line in jobs("queues", "show", "quiet").stdout.splitlines()]
    assert shown[-3:] == ["", "mail_all", f"waiting {words}, since {SINCE}"]
    assert "idle" not in shown
    found = json.loads(jobs("queues", "show", "quiet", "--json").stdout)
    assert found["backlog"] == {"jobs": BACKLOG["jobs"][:1], "more": more}


def test_a_queue_that_is_not_there_is_refused(api: FakeApi) -> None:
    done = jobs("queues", "show", "nosuch")
    assert done.exit_code == 1
    assert "nothing at GET /queues/nosuch" in done.stderr


NOTHING: dict[str, Any] = {"limits": None, "keys": []}
QUEUES = {
    "jobs": [
        {"name": "x", "queue_name": "imports", "queues": ["imports", "urgent"]},
        {"name": "y", "queue_name": "default", "queues": ["default"]},
    ],
    "tasks": [],
}


def test_a_queue_of_which_nothing_is_known_is_refused_with_those_there_are(api: FakeApi) -> None:
    for path in ("/queues/import", "/queues/import?limit=100"):
        api.on("GET", path, 200, queue("import", **NOTHING))
    api.on("GET", "/backlog", 200, BACKLOG)
    api.on("GET", "/job-types", 200, QUEUES)
    for words in ([], ["--json"]):
        done = jobs("queues", "show", "import", *words)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "This stack has no queue import: " in done.stderr
        assert "Did you mean imports? The queues are default, imports, urgent." in done.stderr


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("urgent", {}),
        ("other", {"limits": LIMITS}),
        ("other", {"changed_at": SINCE}),
        ("other", {"keys": [KEY]}),
        ("other", {"paused": {**PAUSED, "waiting": None}}),
        ("quiet", {}),  # jobs of this queue wait for a worker
    ],
)
def test_a_queue_that_nothing_waits_in_is_shown_all_the_same(
    api: FakeApi, name: str, known: dict[str, Any]
) -> None:
    for path in (f"/queues/{name}", f"/queues/{name}?limit=100"):
        api.on("GET", path, 200, queue(name, **NOTHING | known))
    api.on("GET", "/backlog", 200, BACKLOG)
    api.on("GET", "/job-types", 200, QUEUES)
    done = jobs("queues", "show", name)
    assert done.exit_code == 0, done.output
    assert name in done.stdout


# --- job-runners queues limit --------------------------------------------------------------------

TYPES = {"jobs": [{"name": "x", "queue_name": "imports", "queues": ["imports"]}], "tasks": []}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--slots", "3"], {"slots": 3}),
        (["--rate", "30/60s"], {"rate": {"count": 30, "seconds": 60, "burst": 1}}),
        (["--rate", "30/m", "--burst", "5"], {"rate": {"count": 30, "seconds": 60, "burst": 5}}),
        (["--rate", "5/0.5"], {"rate": {"count": 5, "seconds": 0.5, "burst": 1}}),
        (["--slots", "3", "--max-waiting", "9"], {"slots": 3, "max_waiting": 9}),
    ],
)
def test_a_queue_is_limited(api: FakeApi, words: list[str], body: dict[str, Any]) -> None:
    api.on("GET", "/queues/a%20b", 200, queue("a b"))
    api.on("PUT", "/queues/a%20b", 200, limits("a b"))
    types = {"jobs": [{"name": "x", "queue_name": "a b", "queues": ["a b"]}], "tasks": []}
    api.on("GET", "/job-types", 200, types)
    done = jobs("queues", "limit", "a b", *words)
    assert (done.exit_code, done.stderr) == (0, "")
    (call,) = api.asked("PUT", "/queues/a%20b")
    assert call.body == body
    assert f"Limited: queue a b, limits: {WORDS}, on " in done.stdout
    assert json.loads(jobs("queues", "limit", "a b", *words, "--json").stdout)["limits"] == LIMITS


def test_a_queue_that_no_job_type_is_in_is_said_and_limited_all_the_same(api: FakeApi) -> None:
    api.on("GET", "/queues/export", 200, queue("export"))
    api.on("PUT", "/queues/export", 200, limits("export"))
    types = {"jobs": [{"name": "x", "queue_name": "exports", "queues": ["exports"]}], "tasks": []}
    api.on("GET", "/job-types", 200, types)
    done = jobs("queues", "limit", "export", "--slots", "3")
    assert done.exit_code == 0
    assert "the limits apply only to jobs dispatched to it by name" in done.stderr
    assert "Did you mean exports?" in done.stderr


@pytest.mark.parametrize(
    ("declared", "current", "body", "kept"),
    [
        (None, {"rate": RATE}, {"slots": 5, "rate": RATE}, ["--rate"]),
        (LIMITS, {"rate": RATE}, {"slots": 5, "rate": RATE}, ["--rate"]),
        (LIMITS, {"slots": 9, "max_waiting": 7}, {"slots": 5, "max_waiting": 7}, ["--max-waiting"]),
        ({**LIMITS, "rate": RATE}, {"slots": 9, "rate": RATE}, {"slots": 5}, []),
    ],
)
def test_an_earlier_change_of_a_limit_that_is_omitted_is_kept(
    api: FakeApi,
    declared: dict[str, Any] | None,
    current: dict[str, Any],
    body: dict[str, Any],
    kept: list[str],
) -> None:
    found = queue(changed_at=SINCE, declared_limits=declared, limits={**LIMITS, **current})
    api.on("GET", "/queues/imports", 200, found)
    api.on("PUT", "/queues/imports", 200, limits("imports"))
    api.on("GET", "/job-types", 200, TYPES)
    done = jobs("queues", "limit", "imports", "--slots", "5")
    (call,) = api.asked("PUT", "/queues/imports")
    assert call.body == body
    said = f"Kept {' and '.join(kept)} from an earlier change. --reset drops all changes.\n"
    assert done.stderr == (said if kept else "")


def test_the_command_knows_the_default_of_a_queue_that_the_code_does_not_declare() -> None:
    assert Limits().max_waiting == DEFAULT_MAX_WAITING


def test_a_queue_has_the_codes_limits_again(api: FakeApi) -> None:
    api.on("DELETE", "/queues/imports", 204)
    api.on("GET", "/queues/imports", 200, queue(limits=None))
    done = jobs("queues", "limit", "imports", "--reset")
    assert (done.exit_code, done.stdout[:38]) == (0, "Reset: queue imports, limits: none, on")
    assert len(api.asked("DELETE", "/queues/imports")) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "Pass --slots, --rate or --max-waiting"),
        (["--slots", "3", "--reset"], "or --reset alone"),
        (["--slots", "0"], "1<=x<=100"),
        (["--rate", "30"], "Write it as 30/60s, 30/m or 5/s"),
        (["--rate", "30/"], "Write it as 30/60s, 30/m or 5/s"),
        (["--rate", "30/1w"], "Write it as 30/60s, 30/m or 5/s"),
        (["--burst", "3", "--slots", "1"], "Pass --rate too"),
    ],
)
def test_limits_that_say_nothing_or_too_much_are_refused(
    api: FakeApi, words: list[str], why: str
) -> None:
    done = jobs("queues", "limit", "imports", *words)
    assert done.exit_code == 2
    assert why in done.stderr
    assert api.calls == []


# --- job-runners show ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"kind": "job_type", "name": "import_x"}, "job type import_x, which is paused"),
        ({"kind": "queue", "name": "x\x9b"}, "queue x\ufffd, which is paused"),
        ({"kind": "line", "name": "imports", "key": "*"}, "its turn in queue imports"),
        ({"kind": "line", "name": "imports", "key": "acme"}, "its turn in queue imports, acme"),
    ],
)
def test_a_job_is_shown_with_what_it_waits_for(
    api: FakeApi, found: dict[str, Any], words: str
) -> None:
    api.on("GET", f"/jobs/{ID}", 200, job("waiting", waits_for={"key": None, **found}))
    place = {"waits_for": found, "ahead": 4, "more_ahead": False, "of_organization": False}
    api.on("GET", f"/jobs/{ID}/place", 200, place)
    shown = jobs("show", ID).stdout
    assert f"waits for     {words}\n" in shown
    assert "ahead of it   4\n" in shown


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"ahead": 1000, "more_ahead": True}, "ahead of it   at least 1000\n"),
        ({"ahead": 0, "of_organization": True}, "ahead of it   0 of its organization\n"),
    ],
)
def test_a_job_is_shown_with_its_place_in_line(
    api: FakeApi, place: dict[str, Any], words: str
) -> None:
    line = {"kind": "line", "name": "imports", "key": "*"}
    api.on("GET", f"/jobs/{ID}", 200, job("waiting", waits_for=line))
    whole = {"waits_for": line, "more_ahead": False, "of_organization": False, **place}
    api.on("GET", f"/jobs/{ID}/place", 200, whole)
    assert words in jobs("show", ID).stdout


def test_a_job_that_goes_on_meanwhile_has_no_place(api: FakeApi) -> None:
    line = {"kind": "line", "name": "imports", "key": "*"}
    api.on("GET", f"/jobs/{ID}", 200, job("waiting", waits_for=line))
    gone = {"waits_for": None, "ahead": None, "more_ahead": False, "of_organization": False}
    api.on("GET", f"/jobs/{ID}/place", 200, gone)
    assert "ahead of it" not in jobs("show", ID).stdout
