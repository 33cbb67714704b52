"""How the page runs: Voila's settings stand in ``voila.json``, its page templates beside this file."""
