"""`python -m pipeline` is `pagemill`."""

from pipeline.cli import run_program

run_program()
