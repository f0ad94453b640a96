"""Face detection, face tracks over time, and aligned mouth crops."""
