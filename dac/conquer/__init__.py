"""Conquer: expert retrieval and distillation (Sec. 3.2.2)."""
