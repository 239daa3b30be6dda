"""The groups of jobs that other jobs wait for: what follows a member's end, the timer's look."""
