"""What follows from the transitions of jobs."""
