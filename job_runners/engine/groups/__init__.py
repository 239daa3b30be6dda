"""Groups of jobs that another job waits for: the end of a member, and the timer's checks."""
