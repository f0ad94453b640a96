"""Synthetic talking-head clips with a known A/V offset, and `resync demo`, which breaks and fixes one."""
