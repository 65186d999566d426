"""Evaluation: test views rendered, scored and recorded."""
