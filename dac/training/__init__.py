"""Training on images: batches of rays, schedules, checkpoints, the loop."""
