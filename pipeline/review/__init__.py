"""A page on localhost on which people accept and correct values."""
