"""The actions of the dashboard: their table, and the functions that carry them out."""
