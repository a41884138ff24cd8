"""A page for people: what was read, what failed, what is doubtful."""
