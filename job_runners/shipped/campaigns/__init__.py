"""The built-in texting campaign: a realistic example, from a CSV file to first messages."""
