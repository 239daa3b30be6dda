"""A CSV file of any size becomes a campaign's contacts."""
