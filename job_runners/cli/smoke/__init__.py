"""Check an AWS account with a throwaway stack: deploy it, run every kind of work, remove it."""
