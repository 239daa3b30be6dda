"""The texting campaign that ships: an example of real work, from a CSV file to first messages."""
