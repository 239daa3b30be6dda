"""What must follow after a job's row has changed, such as messages and the ends of groups."""
