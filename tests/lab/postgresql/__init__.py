"""The database of the lab: its servers, its schema, and what can be broken in it."""
