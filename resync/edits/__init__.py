"""Edit lists: the corrected timeline for editing programs."""
