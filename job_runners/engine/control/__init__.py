"""What owners and operators do with work that exists: cancel, retry, delete, limit, inspect."""
