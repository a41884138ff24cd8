"""Pagemill: a folder of documents in, validated records in Parquet out."""

__version__ = "0.1.0"
