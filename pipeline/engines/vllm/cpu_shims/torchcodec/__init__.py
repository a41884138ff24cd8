"""Stands before torchcodec's CUDA build, which cannot load beside a CPU torch; vLLM does without it."""

raise ImportError("no torchcodec beside a CPU torch")
