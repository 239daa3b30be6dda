"""Run work in a worker: claim it, call its function, record how it ended, retry it."""
