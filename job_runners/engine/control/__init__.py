"""What callers do with work that exists: cancel, retry, delete, limit, inspect."""
