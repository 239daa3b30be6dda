"""The `jobs` command: everything the API can do, from a terminal or a script."""
