"""What others install: the `jobs` command. It knows the HTTP API, not the code behind it."""
