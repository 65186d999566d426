"""Pictures: decoding, masks, frames of videos, renders of .blend files."""
