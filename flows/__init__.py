"""Thin Prefect shells over pipeline.run: deployments, what the operator sees, recovery."""
