"""Writing corrected files with ffmpeg: audio shifted, everything else kept."""
