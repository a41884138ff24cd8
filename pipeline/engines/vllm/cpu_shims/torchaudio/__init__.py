"""Stands before torchaudio's CUDA build, which cannot load beside a CPU torch; nothing here reads sound."""
