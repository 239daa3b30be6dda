"""Split a campaign's contacts evenly between its texters."""
