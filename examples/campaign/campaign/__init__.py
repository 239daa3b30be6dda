"""A texting campaign: from a CSV file of contacts to their first texts, and back to a file."""

from job_runners.work import InternalJob, Job, Queue, Rate, Retry, Task, Unique

JOBS = {
    # These jobs resume at their cursor and repeat the same writes, so another attempt does no harm.
    "import_contacts": Job("campaign.import_contacts:import_contacts", retry=Retry(max_attempts=5)),
    "assign_texters": Job(
        "campaign.assign_texters:assign_texters",
        retry=Retry(max_attempts=5),
        queue_name="assigning",
        # If a job is dispatched while another one runs, it starts after that job ends. The running
        # job may already have passed contacts that were imported later.
        unique=Unique(by=("campaign",), on_conflict="replace", then="again"),
    ),
    "send_first_messages": Job(
        "campaign.send_first_messages:send_first_messages", retry=Retry(max_attempts=5)
    ),
    # If another attempt comes to a contact again, it doesn't send a second message.
    "send_first_messages_turn": InternalJob(
        "campaign.send_first_messages:send_first_messages_turn",
        retry=Retry(max_attempts=8),
        queue_name="first_messages",
        dispatched_by=("send_first_messages",),
    ),
    "export_contacts": Job("campaign.export_contacts:export_contacts", retry=Retry(max_attempts=5)),
}

TASKS = {
    # Only a text that SNS certainly refused is sent again: a second text is worse than none.
    "send_message": Task(
        "campaign.send_message:send_message", retry=Retry(max_attempts=5, interrupted=False)
    ),
}

_CAMPAIGN = ("organization_id", "campaign")

QUEUES = {
    # Two jobs that assign at once would each deal out contacts that the other counts as unassigned.
    "assigning": Queue(slots=1, per=_CAMPAIGN),
    # A turn has 20 messages, and SNS accepts 20 per second by default.
    "first_messages": Queue(rate=Rate(1, seconds=1), order="fair"),
}
