"""Divide: from views to groups (Sec. 3.2.1)."""
