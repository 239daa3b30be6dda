"""One module for each command. `app.py` lists the commands, and imports only the called one."""
