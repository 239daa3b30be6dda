"""The client of the HTTP API: `from job_runners import Client`."""
