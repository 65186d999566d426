"""Measurements of speed, memory and learning; no part of the package."""
