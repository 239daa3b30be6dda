"""The timer's run: find the rows that are due, and give each what it needs."""
