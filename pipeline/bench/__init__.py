"""What this machine reads a second: the pipeline, its stages, its settings and its page sizes, measured."""
