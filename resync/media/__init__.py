"""Reading media: streams, frames and audio samples, placed by presentation timestamps."""
