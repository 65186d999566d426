"""The workflow's decisions: what is trained, what it depends on, what it takes."""
