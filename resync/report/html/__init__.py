"""One HTML file about many clips: a table, and for each clip its evidence and a player."""
