"""One file for each command; `app.py` lists them, and loads only the one that is asked for."""
