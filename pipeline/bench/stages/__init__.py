"""Each stage of the pipeline by itself: what it does a second, and what the bare library does on as many processes."""
