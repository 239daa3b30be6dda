"""The command `job-runners`: everything the API can do, from a terminal or a script."""
