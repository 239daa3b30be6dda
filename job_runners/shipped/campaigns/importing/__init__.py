"""Import a CSV file of any size as a campaign's contacts."""
