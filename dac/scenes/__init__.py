"""Scenes: data formats, structure from motion, splits, and the arrays that training reads."""
