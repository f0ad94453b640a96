"""Results for people and programs: JSON, CSV, text, table, plot, preview."""
