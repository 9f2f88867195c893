"""The embedded world: a small language, its people and their tickets, with defects planted in known sizes."""
